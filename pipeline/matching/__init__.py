"""Recognizes copies of a lock's movies by audio or video, and maps times between them.

bands       a copy's audio, from which words at any time and speed are made
frames      a copy's video, as words of its frames
lookup      the words of a lock, sorted
search      which movie a copy plays, roughly when and how fast
alignment   piece by piece: offset and speed
refine      offsets to milliseconds
recognize   the movies that a copy's audio or video plays
identity    copies that are the same file
copies      the copy of each movie
"""

from __future__ import annotations

from pipeline.matching.alignment import Alignment, Piece
from pipeline.matching.copies import Match, complementary, matches_of
from pipeline.matching.identity import identical_copies
from pipeline.matching.recognize import Searched
from pipeline.matching.search import Parts

__all__ = [
    "Alignment",
    "Match",
    "Parts",
    "Piece",
    "Searched",
    "complementary",
    "identical_copies",
    "matches_of",
]
