"""Recognizes copies of a lock's movies by their audio, and maps times between them.

bands       a copy's audio, from which words at any time and speed are made
search      which movie a copy plays, about when and how fast
alignment   piece by piece: offset and speed
refine      offsets to milliseconds
copies      the copy of each movie: the same file, or one that plays it
"""

from __future__ import annotations

from pipeline.matching.alignment import Alignment, Piece
from pipeline.matching.copies import Match, identical_copy, matches_of
from pipeline.matching.search import Parts

__all__ = ["Alignment", "Match", "Parts", "Piece", "identical_copy", "matches_of"]
