"""Rows of the index: a `ClipRow` per clip, a `MovieRow` per movie, and their Arrow schemas.

Time is integer nanoseconds on the movie timeline: t = 0 is the presentation start of the chosen
video stream, and ranges are half-open, [start, end).
"""

from __future__ import annotations

from shards_spec.schema import columns, dropped, duplicates, tables
from shards_spec.schema.clip_row import ClipContent, ClipRow
from shards_spec.schema.movie_row import MovieRow

SPEC_VERSION = "1.0"

__all__ = [
    "SPEC_VERSION",
    "ClipContent",
    "ClipRow",
    "MovieRow",
    "columns",
    "dropped",
    "duplicates",
    "tables",
]
