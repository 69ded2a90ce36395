"""Checks of tables of labels that were read: ranges, and labels by clip."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.labels.schema import CLIP_LABELS_SCHEMA, RANGES_SCHEMA
from shards_spec.errors import FormatError


def check_ranges(table: pa.Table, uri: str) -> None:
    """Raise `FormatError` unless a table has `RANGES_SCHEMA`, valid times and sorted movies."""
    _require_schema(table, RANGES_SCHEMA, uri)
    start, end = (np.asarray(table[item].to_numpy()) for item in ("start_ns", "end_ns"))
    is_valid = bool(((start >= 0) & (end > start)).all())
    _require(is_valid, uri, "has ranges that end before they start")
    names = table["movie_id"]
    is_sorted = len(pc.unique(names)) == len(pc.run_end_encode(names.combine_chunks()).values)
    _require(is_sorted, uri, "is not sorted by movie")


def check_clip_labels(table: pa.Table, uri: str) -> None:
    """Raise `FormatError` unless a table has `CLIP_LABELS_SCHEMA` and valid overlaps."""
    _require_schema(table, CLIP_LABELS_SCHEMA, uri)
    overlap = np.asarray(table["overlap"].to_numpy())
    is_valid = bool(((overlap > 0) & (overlap < 1.001)).all())
    _require(is_valid, uri, "has an overlap that is not above 0 and at most 1")


def _require_schema(table: pa.Table, schema: pa.Schema, uri: str) -> None:
    is_equal = table.schema.names == schema.names and table.schema.types == schema.types
    _require(is_equal, uri, f"does not have the columns {', '.join(schema.names)}")
    for item in schema:
        if not item.nullable:
            _require(table[item.name].null_count == 0, uri, f"has no {item.name} in some rows")


def _require(condition: bool, uri: str, problem: str) -> None:
    if not condition:
        raise FormatError(f"{uri} {problem}; import the labels again with `reelshards label`")
