"""Checks of the tables of near-duplicates and of fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec import layout
from shards_spec.dataset.bounds.parquet_bounds import get_bounded, read_bounded_table
from shards_spec.dataset.validation.report import Problem
from shards_spec.errors import FormatError, ObjectNotFoundError, StorageError
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema.duplicates import DUPLICATE_KINDS, DUPLICATES_SCHEMA
from shards_spec.schema.tables import require_columns
from shards_spec.storage import Storage

#: Times of spans are accurate to a second.
_TOLERANCE_NS = NANOSECONDS


def duplicate_problems(storage: Storage, movies: pa.Table) -> Iterator[Problem]:
    """All problems of both tables. Raises `StorageError` when a remote store fails."""
    lengths = dict(
        zip(movies["movie_id"].to_pylist(), movies["duration_ns"].to_pylist(), strict=True)
    )
    for key in (layout.DUPLICATES_PARQUET, layout.FINGERPRINTS_PARQUET):
        try:
            table = read_bounded_table(get_bounded(storage, key), key)
            if key == layout.DUPLICATES_PARQUET:
                require_columns(table, DUPLICATES_SCHEMA, key)
            ids = table["movie_id"].to_pylist()
        except ObjectNotFoundError:
            continue
        except (FormatError, KeyError, StorageError) as error:
            if isinstance(error, StorageError) and not storage.is_local:
                raise
            yield Problem("duplicates", key, f"{error}; run duplicates again")
            continue
        if key == layout.DUPLICATES_PARQUET:
            ids += [name for name in table["other_movie_id"].to_pylist() if name]
            yield from _span_problems(table, lengths)
        elif len(set(ids)) < len(ids):
            yield Problem("duplicates", key, "has several fingerprints of a movie")
        for name in sorted({str(name) for name in ids} - set(lengths)):
            message = f"has rows of movie {name!r}, which is not in the index"
            yield Problem("duplicates", key, message)


def _span_problems(table: pa.Table, lengths: Mapping[str, int]) -> Iterator[Problem]:
    where = layout.DUPLICATES_PARQUET
    nulls = [name for name in DUPLICATES_SCHEMA.names if table[name].null_count]
    if nulls:
        yield Problem("duplicates", where, f"has missing values in {', '.join(nulls)}")
        return
    for name in ("video_match", "audio_match"):
        share = table[name]
        is_share = pc.and_(pc.greater_equal(share, 0), pc.less_equal(share, 1))
        if not pc.all(is_share, min_count=0).as_py():
            yield Problem("duplicates", where, f"{name} is not a share in some rows")
    for row in table.to_pylist():
        for message in _row_messages(row, lengths):
            yield Problem("duplicates", where, f"{row['movie_id']}: {message}")


def _row_messages(row: Mapping[str, Any], lengths: Mapping[str, int]) -> Iterator[str]:
    kind, other = row["kind"], row["other_movie_id"]
    if kind not in DUPLICATE_KINDS:
        yield f"{kind!r} is not one of {', '.join(DUPLICATE_KINDS)}"
    if (kind == "blank") != (not other) or (kind == "blank") != (row["set_number"] == 0):
        yield f"a span of kind {kind} has the other movie {other!r} and set {row['set_number']}"
    if other and row["movie_id"] >= other:
        yield f"is not before {other} in the order of ids"
    for side in ("", "other_") if other else ("",):
        name = row[f"{side}movie_id"]
        start_ns, end_ns = row[f"{side}start_ns"], row[f"{side}end_ns"]
        length_ns = lengths.get(name, 0)
        span = f"[{start_ns}, {end_ns}) ns of {name}"
        if not 0 <= start_ns < end_ns:
            yield f"{span} is not a time range"
        elif length_ns and end_ns > length_ns + _TOLERANCE_NS:
            yield f"{span} ends after the end of the movie at {length_ns} ns"
