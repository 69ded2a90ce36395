"""Ways to damage a dataset; everything apart from the intended damage is made consistent again."""

from __future__ import annotations

import dataclasses
import tarfile
from collections.abc import Callable, Sequence
from typing import IO, Any, cast

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.reader import Dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.dataset.writer import tar_sample
from shards_spec.schema import ClipRow

#: The damaged shard; the dataset has `movie-000`, `movie-001` and `broken-000`.
SHARD = layout.shard_key("movie-001", 0)


#: Rows of a movie's clips -> changed rows.
EditRows = Callable[[Sequence[ClipRow]], Sequence[ClipRow]]


def failed(data: Dataset, *, quick: bool = False) -> set[str]:
    checks = validate(data.storage, quick=quick).checks
    return {check.name for check in checks if check.state == "failed"}


def put_table(data: Dataset, key: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    data.storage.put(key, sink.getvalue().to_pybytes())


def recommit(data: Dataset, edit: EditRows, movie_id: str = "movie-001") -> None:
    """Change a movie's clip rows in commit and index alike."""
    movie, rows = read_commit(data.storage, movie_id)
    rows = list(edit(rows))
    write_commit(data.storage, dataclasses.replace(movie, num_clips=len(rows)), rows)
    write_index(data.storage, data.recipe, "toy")


def edit_row(place: int, **changes: Any) -> EditRows:
    return lambda rows: [
        dataclasses.replace(row, **changes) if number == place else row
        for number, row in enumerate(rows)
    ]


def edit_shard(data: Dataset, edit: Callable[[bytearray], bytes | bytearray | None]) -> None:
    shard = bytearray(data.storage.get(SHARD))
    edited = edit(shard)
    data.storage.put(SHARD, shard if edited is None else edited)


def replace_members(data: Dataset, **members: bytes) -> None:
    """Write other members for the last clip of a shard, with their correct size and checksum."""
    movie, rows = read_commit(data.storage, "movie-001")
    row = [row for row in rows if row.shard == SHARD][-1]
    shard = data.storage.get(SHARD)
    with tarfile.open(fileobj=pa.BufferReader(shard[row.tar_offset :])) as tar:
        old = {m.name.partition(".")[2]: cast(IO[bytes], tar.extractfile(m)).read() for m in tar}
    new = {**old, **{name.replace("_", "."): value for name, value in members.items()}}
    piece = tar_sample(row.clip_id, {name: value for name, value in new.items() if value})
    data.storage.put(SHARD, shard[: row.tar_offset] + piece + bytes(1024))
    placed = dataclasses.replace(row, tar_bytes=len(piece), crc32c=google_crc32c.value(piece))
    total = movie.shard_bytes + len(piece) - row.tar_bytes
    rows = [placed if one is row else one for one in rows]
    write_commit(data.storage, dataclasses.replace(movie, shard_bytes=total), rows)
    write_index(data.storage, data.recipe, "toy")
