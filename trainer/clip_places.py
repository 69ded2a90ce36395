"""Where a clip's bytes lie and what they must be: all that loading needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClipPlace:
    """Columns of the table of clips; see `shards_spec.schema.ClipRow`."""

    clip_id: str
    movie_id: str
    shard: str
    tar_offset: int
    tar_bytes: int
    crc32c: int
    height: int
    width: int
    start_ns: int
    shot_id: int


COLUMNS = tuple(ClipPlace.__dataclass_fields__)


def take_places(clips: pa.Table, rows: NDArray[np.int64]) -> list[ClipPlace]:
    """The given rows (at least one) of the table of clips.

    Slices are cut from the table, as `Table.take` touches every chunk of a large table (0.1 s).
    """
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    firsts = np.flatnonzero(np.diff(ascending, prepend=-2) != 1)
    lasts = np.append(firsts[1:], len(rows))
    wanted = clips.select(COLUMNS)
    pieces = [
        wanted.slice(int(ascending[first]), int(last - first))
        for first, last in zip(firsts, lasts, strict=True)
    ]
    columns = [column.to_pylist() for column in pa.concat_tables(pieces).columns]
    found = [ClipPlace(*values) for values in zip(*columns, strict=True)]
    result = list(found)
    for place, clip in zip(order.tolist(), found, strict=True):
        result[place] = clip
    return result
