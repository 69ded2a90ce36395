"""Near-duplicates as readers use them: `index/duplicates.parquet`, and which clips they concern.

The table is optional. Its rows count as long as both movies have the clips that it was made from;
rows of movies that were processed again since, or removed, are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec import layout
from shards_spec.dataset.bounds.parquet_bounds import read_optional_table
from shards_spec.errors import FormatError
from shards_spec.schema.duplicates import (
    DUPLICATE_KINDS,
    DUPLICATES_SCHEMA,
    clip_ranges,
    clips_digests,
)
from shards_spec.storage import Storage

#: Name of the column that filters can use: the kind of each clip's span, or an empty text.
KIND_COLUMN = "near_duplicate"

_SIDES = ("", "other_")


def read_duplicates(storage: Storage, clips: pa.Table) -> pa.Table | None:
    """The rows (`DUPLICATES_SCHEMA`) that apply to these clips; None without a table.

    `clips` needs the columns `movie_id`, `start_ns` and `crc32c`.

    Raises `FormatError` for a damaged table, `StorageError` if it cannot be read.
    """
    table = read_optional_table(storage, layout.DUPLICATES_PARQUET, DUPLICATES_SCHEMA)
    if table is None:
        return None
    table = table.select(DUPLICATES_SCHEMA.names).replace_schema_metadata(None)
    _check(table, storage.uri_of(layout.DUPLICATES_PARQUET))
    names = {text for side in _SIDES for text in table[f"{side}movie_id"].unique().to_pylist()}
    digests = clips_digests(clips, names)
    is_current = np.ones(table.num_rows, dtype=bool)
    for side in _SIDES:
        movies = table[f"{side}movie_id"].to_pylist()
        stored = table[f"{side}clips_digest"].to_pylist()
        matches = (
            not movie or digests.get(movie) == digest
            for movie, digest in zip(movies, stored, strict=True)
        )
        is_current &= np.fromiter(matches, dtype=bool, count=table.num_rows)
    return table.filter(pa.array(is_current))


def with_duplicates(fingerprint: str, duplicates: pa.Table | None) -> str:
    """The fingerprint of a dataset whose table of clips has this one; 16 hex digits.

    Which clips meet in a batch depends on both tables, so it changes with both.
    """
    if duplicates is None or not duplicates.num_rows:
        return fingerprint
    text = repr([fingerprint, *duplicates.to_pydict().items()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class SpanClips:
    """The clips of a span: those that are at least half inside of it."""

    kind: str
    set_number: int
    movie_id: str
    rows: NDArray[np.int64]
    """Rows of the table of clips, ascending."""


def span_clips(clips: pa.Table, duplicates: pa.Table) -> Iterator[SpanClips]:
    """The clips of every span of the table, on both sides; spans without clips are left out."""
    names = {text for side in _SIDES for text in duplicates[f"{side}movie_id"].to_pylist()}
    ranges = clip_ranges(clips, names)
    start, end = (np.asarray(clips[name].to_numpy()) for name in ("start_ns", "end_ns"))
    for row in duplicates.to_pylist():
        for side in _SIDES:
            movie_id = row[f"{side}movie_id"]
            if movie_id not in ranges:
                continue
            first, stop = ranges[movie_id]
            low, high = start[first:stop], end[first:stop]
            shared = np.minimum(high, row[f"{side}end_ns"]) - np.maximum(
                low, row[f"{side}start_ns"]
            )
            rows = first + np.flatnonzero(2 * shared >= high - low)
            if len(rows):
                yield SpanClips(row["kind"], row["set_number"], movie_id, rows)


def clip_kinds(clips: pa.Table, duplicates: pa.Table) -> pa.Array:
    """(num_rows,) text: the kind of the span that each clip is in, the first of `DUPLICATE_KINDS`
    where there are several; empty for all other clips."""
    order = {kind: number for number, kind in enumerate(DUPLICATE_KINDS)}
    none = len(DUPLICATE_KINDS)
    number = np.full(clips.num_rows, none, dtype=np.int8)
    for span in span_clips(clips, duplicates):
        number[span.rows] = np.minimum(number[span.rows], order[span.kind])
    return pa.DictionaryArray.from_arrays(number, pa.array([*DUPLICATE_KINDS, ""])).cast(
        pa.string()
    )


def _check(table: pa.Table, name: str) -> None:
    """Raise `FormatError` for values that no search writes."""
    if any(column.null_count for column in table.columns):
        raise FormatError(f"{name} has missing values; {_ADVICE}")
    kinds = set(table["kind"].unique().to_pylist()) - set(DUPLICATE_KINDS)
    if kinds:
        raise FormatError(f"{name} has spans of kind {sorted(kinds)[0]!r}; {_ADVICE}")
    for side in _SIDES:
        start, end = table[f"{side}start_ns"], table[f"{side}end_ns"]
        wrong: Any = pc.or_(pc.less(start, 0), pc.less(end, start))
        if pc.any(wrong).as_py():
            raise FormatError(f"{name} has spans that end before they start; {_ADVICE}")


_ADVICE = "delete it, and run reelshards duplicates again"
