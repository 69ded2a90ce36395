"""Rows of the index: a `ClipRow` per clip, a `MovieRow` per movie, and their Arrow schemas.

Time is integer nanoseconds on the movie timeline: t = 0 is the presentation start of the chosen
video stream, and ranges are half-open, [start, end).
"""

from __future__ import annotations

from shards_spec.schema import dropped, duplicates, tables
from shards_spec.schema.clip_row import LOCATION_COLUMNS, ClipContent, ClipRow
from shards_spec.schema.movie_row import MEASURED_COLUMNS, STATUSES, MovieRow, Status

SPEC_VERSION = "1.0"

__all__ = [
    "LOCATION_COLUMNS",
    "MEASURED_COLUMNS",
    "SPEC_VERSION",
    "STATUSES",
    "ClipContent",
    "ClipRow",
    "MovieRow",
    "Status",
    "dropped",
    "duplicates",
    "tables",
]
