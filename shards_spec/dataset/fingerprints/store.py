"""Brings the fingerprints and near-duplicates of a dataset up to date, and stores them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.dataset.bounds.parquet_bounds import get_bounded
from shards_spec.dataset.fingerprints.audio import STEP_SECONDS
from shards_spec.dataset.fingerprints.compute import OnMovie, update_fingerprints
from shards_spec.dataset.fingerprints.search import Duplicate, find_duplicates
from shards_spec.dataset.fingerprints.table import Fingerprint
from shards_spec.dataset.index import refresh_card
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema.duplicates import DUPLICATES_SCHEMA
from shards_spec.schema.tables import parse_table
from shards_spec.storage import Storage

_STEP_NS = round(STEP_SECONDS * NANOSECONDS)


def update_duplicates(
    dataset: Dataset, num_threads: int = 2, on_movie: OnMovie | None = None
) -> pa.Table:
    """The near-duplicates (`DUPLICATES_SCHEMA`) among all movies that have clips; they are stored.

    Arguments and errors are those of `update_fingerprints`.
    """
    prints = update_fingerprints(dataset, num_threads, on_movie)
    table = duplicates_table(find_duplicates(prints), prints)
    write_duplicates(dataset.storage, table)
    refresh_card(dataset.storage)
    return table


def duplicates_table(
    duplicates: Sequence[Duplicate], prints: Mapping[str, Fingerprint]
) -> pa.Table:
    """Near-duplicates as rows, with times in nanoseconds."""
    return pa.Table.from_pylist([_row(item, prints) for item in duplicates], DUPLICATES_SCHEMA)


def write_duplicates(storage: Storage, table: pa.Table) -> None:
    """Replace the table; equal rows are not written again."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = bytes(sink.getvalue())
    try:
        if storage.get(layout.DUPLICATES_PARQUET) == data:
            return
    except ObjectNotFoundError:
        pass
    storage.put(layout.DUPLICATES_PARQUET, data)


def remove_movies(storage: Storage, movie_ids: Collection[str]) -> None:
    """Delete what both tables say of movies. A table that cannot be read is deleted as a whole."""
    gone = pa.array(sorted(movie_ids), pa.string())
    for key, columns in _MOVIE_COLUMNS.items():
        try:
            table = parse_table(get_bounded(storage, key), storage.uri_of(key))
            is_gone = [pc.is_in(table[column], gone) for column in columns]
        except ObjectNotFoundError:
            continue
        except (FormatError, KeyError, pa.ArrowException):
            storage.delete(key)
            continue
        kept = table.filter(pc.invert(functools.reduce(pc.or_, is_gone)))
        if kept.num_rows < table.num_rows:
            sink = pa.BufferOutputStream()
            pq.write_table(kept, sink, compression="zstd", use_dictionary=False)
            storage.put(key, bytes(sink.getvalue()))


#: Columns with ids of movies, by table.
_MOVIE_COLUMNS = {
    layout.DUPLICATES_PARQUET: ("movie_id", "other_movie_id"),
    layout.FINGERPRINTS_PARQUET: ("movie_id",),
}


def _row(item: Duplicate, prints: Mapping[str, Fingerprint]) -> dict[str, Any]:
    span = item.span
    return {
        "kind": item.kind,
        "set_number": item.set_number,
        **_side("", item.movie_id, span.start, span.end, prints),
        **_side("other_", item.other_movie_id, span.other_start, span.other_end, prints),
        "video_match": span.video_match,
        "audio_match": span.audio_match,
    }


def _side(
    prefix: str, movie_id: str, start: int, end: int, prints: Mapping[str, Fingerprint]
) -> dict[str, Any]:
    made = prints.get(movie_id)
    start_ns, end_ns = start * _STEP_NS, end * _STEP_NS
    if made is not None:
        end_ns = min(end_ns, max(made.duration_ns, start_ns))
    return {
        f"{prefix}movie_id": movie_id,
        f"{prefix}start_ns": start_ns,
        f"{prefix}end_ns": end_ns,
        f"{prefix}clips_digest": made.clips_digest if made else "",
    }
