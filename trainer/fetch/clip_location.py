"""Where the bytes of a clip are and what they must contain: everything that loading needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class ClipLocation(NamedTuple):
    """Columns of the table of clips; see `shards_spec.schema.ClipRow`.

    A tuple, because every instance is pickled to a worker and rebuilt there: a frozen dataclass
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

    @staticmethod
    def take(clips: pa.Table, rows: NDArray[np.int64]) -> list[ClipLocation]:
        """The given rows (at least one) of the table of clips, in the given order.

        They are cut out as slices, because `Table.take` touches every chunk of a large table,
        which takes 0.1 s.
        """
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        firsts = np.flatnonzero(np.diff(ascending, prepend=-2) != 1)
        stops = np.append(firsts[1:], len(rows))
        columns = clips.select(ClipLocation._fields)
        slices = [
            columns.slice(int(ascending[first]), int(stop - first))
            for first, stop in zip(firsts, stops, strict=True)
        ]
        # By way of numpy, which creates Python values several times faster.
        values = [column.to_numpy().tolist() for column in pa.concat_tables(slices).columns]
        in_order = [ClipLocation(*row) for row in zip(*values, strict=True)]
        locations = list(in_order)
        for index, location in zip(order.tolist(), in_order, strict=True):
            locations[index] = location
        return locations
