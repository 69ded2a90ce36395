"""Labels, subtitles and other texts of ranges of movies, and of clips."""

from __future__ import annotations

from shards_spec.dataset.labels.columns import (
    KINDS,
    MIN_COVER,
    ClipColumns,
    all_labels_column,
    is_label_column,
    label_column_names,
    with_label_columns,
)
from shards_spec.dataset.labels.findings import Finding, Findings
from shards_spec.dataset.labels.joining import join_ranges
from shards_spec.dataset.labels.label_files import Columns, FileRow, read_label_file
from shards_spec.dataset.labels.ranges import ranges_of_rows, ranges_table
from shards_spec.dataset.labels.schema import (
    CLIP_LABELS,
    LABELS_JSON,
    RANGES,
    LabeledRange,
    TableInfo,
    check_name,
    clip_labels_key,
    ranges_key,
)
from shards_spec.dataset.labels.subtitle_files import Cue, read_cues
from shards_spec.dataset.labels.tables import (
    label_keys,
    list_tables,
    read_clip_labels,
    read_ranges,
    rejoin_tables,
    remove_movies,
    remove_table,
    stored_clip_labels,
    write_ranges,
)

__all__ = [
    "CLIP_LABELS",
    "KINDS",
    "LABELS_JSON",
    "MIN_COVER",
    "RANGES",
    "ClipColumns",
    "Columns",
    "Cue",
    "FileRow",
    "Finding",
    "Findings",
    "LabeledRange",
    "TableInfo",
    "all_labels_column",
    "check_name",
    "clip_labels_key",
    "is_label_column",
    "join_ranges",
    "label_column_names",
    "label_keys",
    "list_tables",
    "ranges_key",
    "ranges_of_rows",
    "ranges_table",
    "read_clip_labels",
    "read_cues",
    "read_label_file",
    "read_ranges",
    "rejoin_tables",
    "remove_movies",
    "remove_table",
    "stored_clip_labels",
    "with_label_columns",
    "write_ranges",
]
