"""Labels, subtitles and other texts of ranges of movies, and of clips."""

from __future__ import annotations

from shards_spec.dataset.labels import (
    columns,
    findings,
    label_files,
    ranges,
    schema,
    subtitle_files,
    tables,
)
from shards_spec.dataset.labels.joining import join_ranges

__all__ = [
    "columns",
    "findings",
    "join_ranges",
    "label_files",
    "ranges",
    "schema",
    "subtitle_files",
    "tables",
]
