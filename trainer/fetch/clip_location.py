"""Where a clip's bytes lie and what they must be: all that loading needs to know of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class ClipPlace(NamedTuple):
    """Columns of the table of clips; see `shards_spec.schema.ClipRow`.

    A tuple, as every one is made, sent to a loader process and made there again: a frozen dataclass
    takes five times as long.
    """

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


COLUMNS = ClipPlace._fields


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
    # By way of numpy, which makes Python values several times faster.
    columns = [column.to_numpy().tolist() for column in pa.concat_tables(pieces).columns]
    found = [ClipPlace(*values) for values in zip(*columns, strict=True)]
    result = list(found)
    for place, clip in zip(order.tolist(), found, strict=True):
        result[place] = clip
    return result
