"""What an index update keeps for the next one: parts of clips, and the commits of each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.schema.tables import parse_table, require_columns
from shards_spec.storage import ObjectInfo, Storage

PARTS = "index/parts"
PARTS_JSON = "index/parts.json"

#: Size and ETag of a commit record, and its movie row as JSON.
_RECORDS_SCHEMA = pa.schema(
    [
        pa.field("movie_id", pa.string(), nullable=False),
        pa.field("num_bytes", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Part:
    """Clips of consecutive movies."""

    key: str
    first: str
    """Id of its first movie; the range ends before the next part's first movie."""
    num_clips: int


@dataclass(frozen=True)
class Record:
    """A commit record that an update has read."""

    num_bytes: int
    etag: str
    row: str
    """The movie's row as JSON."""

    def is_of(self, info: ObjectInfo) -> bool:
        """Whether the commit record is still the one that was read."""
        return (self.num_bytes, self.etag) == (info.size, info.etag)


@dataclass(frozen=True)
class Gathered:
    """What earlier updates have gathered."""

    parts: tuple[Part, ...]
    movies_key: str
    records: dict[str, Record]
    """By movie id."""


def read_gathered(storage: Storage) -> Gathered:
    """What earlier updates have gathered; nothing where that cannot be read."""
    try:
        listing = json.loads(storage.get(PARTS_JSON))
        parts = tuple(Part(**part) for part in listing["parts"])
        movies_key = str(listing["movies"])
        table = read_table(storage, movies_key, _RECORDS_SCHEMA)
    except (ObjectNotFoundError, FormatError, ValueError, KeyError, TypeError):
        return Gathered((), "", {})
    names, *columns = (table[name].to_pylist() for name in _RECORDS_SCHEMA.names)
    records = {name: Record(*values) for name, *values in zip(names, *columns, strict=True)}
    return Gathered(parts, movies_key, records)


def write_gathered(
    storage: Storage, parts: Sequence[Part], records: Mapping[str, Record], before: Gathered
) -> None:
    """Write the movie rows and then the list of parts; delete what it no longer lists."""
    columns = [
        pa.array(list(records), pa.string()),
        pa.array([record.num_bytes for record in records.values()], pa.int64()),
        pa.array([record.etag for record in records.values()], pa.string()),
        pa.array([record.row for record in records.values()], pa.string()),
    ]
    data = parquet_bytes(pa.Table.from_arrays(columns, schema=_RECORDS_SCHEMA))
    movies_key = f"{PARTS}/movies-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
    if movies_key != before.movies_key:
        storage.put(movies_key, data)
    listing = {"movies": movies_key, "parts": [dataclasses.asdict(part) for part in parts]}
    storage.put(PARTS_JSON, (json.dumps(listing, indent=1) + "\n").encode())
    used = {movies_key, *(part.key for part in parts)}
    for info in storage.list(PARTS):
        if info.key not in used:
            storage.delete(info.key)


def read_table(storage: Storage, key: str, schema: pa.Schema) -> pa.Table:
    """A Parquet object with the columns of a schema. Raises `FormatError`."""
    table = parse_table(storage.get(key), storage.uri_of(key))
    require_columns(table, schema, storage.uri_of(key))
    return table


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
