"""`index/dropped.parquet`: which clips of each movie rules dropped, and why.

The commit records list the dropped clips of their movies; this table is made from them with every
update of the index. Datasets from before it have none, and so have movies that were committed
earlier: of these only the numbers by reason are known, from the table of movies.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.dataset.bounds.parquet_bounds import read_optional_table
from shards_spec.errors import FormatError
from shards_spec.schema import MovieRow
from shards_spec.schema.dropped import DROPPED_SCHEMA, dropped_table
from shards_spec.storage import Storage

#: Readers refuse files with fewer than a few bytes per row, and times of a regular grid hardly take
#: any once they are compressed.
_COMPRESSION = {item.name: "none" if item.name == "start_ns" else "zstd" for item in DROPPED_SCHEMA}


def dropped_bytes(rows: Iterable[MovieRow], clips_fingerprint: str) -> bytes:
    """The table of all movies as Parquet, for the `clips.parquet` with this fingerprint."""
    drops = {row.movie_id: row.drops for row in rows if row.drops is not None}
    metadata = {layout.CLIPS_FINGERPRINT: clips_fingerprint}
    table = dropped_table(drops).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=_COMPRESSION, use_dictionary=["movie_id", "reason"])
    return bytes(sink.getvalue())


def read_dropped(storage: Storage, clips_fingerprint: str = "") -> pa.Table | None:
    """`DROPPED_SCHEMA`, sorted by movie; None without a table, or if it is of another update.

    Args:
        clips_fingerprint: of the table of clips that it must belong to; empty for any.

    Raises `FormatError` for a damaged table, `StorageError` if it cannot be read.
    """
    table = read_optional_table(storage, layout.DROPPED_PARQUET, DROPPED_SCHEMA)
    if table is None:
        return None
    name = storage.uri_of(layout.DROPPED_PARQUET)
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    of_update = metadata.get(layout.CLIPS_FINGERPRINT.encode(), b"").decode(errors="replace")
    if clips_fingerprint and of_update != clips_fingerprint:
        return None
    table = table.select(DROPPED_SCHEMA.names).replace_schema_metadata(None)
    if any(column.null_count for column in table.columns):
        raise FormatError(f"{name} has missing values; {_ADVICE}")
    if not pc.all(pc.less(table["start_ns"], table["end_ns"]), min_count=0).as_py():
        raise FormatError(f"{name} has clips that end before they start; {_ADVICE}")
    return table.sort_by([("movie_id", "ascending"), ("start_ns", "ascending")])


_ADVICE = "run preprocess again, which replaces it"
