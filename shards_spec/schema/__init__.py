"""Rows of the index: a `ClipRow` per clip, a `MovieRow` per movie, and their Arrow schemas.

Time is integer nanoseconds on the movie timeline: t = 0 is the presentation start of the chosen
video stream, and ranges are half-open, [start, end).
"""

from __future__ import annotations

from shards_spec.schema.clip_row import LOCATION_COLUMNS, ClipContent, ClipRow
from shards_spec.schema.dropped import (
    DROP_REASONS,
    DROPPED_SCHEMA,
    NO_CLIP,
    DroppedClips,
    dropped_table,
    sorted_drops,
)
from shards_spec.schema.duplicates import (
    DUPLICATE_KINDS,
    DUPLICATES_SCHEMA,
    LINKED_KINDS,
    clip_ranges,
    clips_digests,
)
from shards_spec.schema.movie_row import MEASURED_COLUMNS, STATUSES, MovieRow, Status
from shards_spec.schema.tables import (
    ADDED_COLUMNS,
    CLIPS_SCHEMA,
    MOVIES_SCHEMA,
    clip_rows,
    clips_table,
    movie_rows,
    movies_table,
    parse_table,
    require_columns,
    row_values,
)

SPEC_VERSION = "1.0"

__all__ = [
    "ADDED_COLUMNS",
    "CLIPS_SCHEMA",
    "DROPPED_SCHEMA",
    "DROP_REASONS",
    "DUPLICATES_SCHEMA",
    "DUPLICATE_KINDS",
    "LINKED_KINDS",
    "LOCATION_COLUMNS",
    "MEASURED_COLUMNS",
    "MOVIES_SCHEMA",
    "NO_CLIP",
    "SPEC_VERSION",
    "STATUSES",
    "ClipContent",
    "ClipRow",
    "DroppedClips",
    "MovieRow",
    "Status",
    "clip_ranges",
    "clip_rows",
    "clips_digests",
    "clips_table",
    "dropped_table",
    "movie_rows",
    "movies_table",
    "parse_table",
    "require_columns",
    "row_values",
    "sorted_drops",
]
