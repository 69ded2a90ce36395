"""Where the bytes of a clip are and what they must contain: everything that loading needs."""

from __future__ import annotations

import itertools
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
        """The given rows (at least one) of the table of clips, in the given order."""
        return ClipRows(clips).take(rows)


class ClipRows:
    """The locations in a table of clips, to be taken many times.

    Each chunk that has some of the rows is asked once: `Table.take` touches every chunk of a large
    table, which takes 0.1 s.
    """

    def __init__(self, clips: pa.Table) -> None:
        self._chunks = clips.select(ClipLocation._fields).to_batches()
        self._starts = np.cumsum([0, *(chunk.num_rows for chunk in self._chunks)])

    def take(self, rows: NDArray[np.int64]) -> list[ClipLocation]:
        """The given rows (at least one), in the given order."""
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        chunk_of = np.searchsorted(self._starts, ascending, side="right") - 1
        firsts = np.flatnonzero(np.diff(chunk_of, prepend=-1))
        parts = []
        for first, stop in itertools.pairwise([*firsts.tolist(), len(rows)]):
            chunk = int(chunk_of[first])
            within = ascending[first:stop] - self._starts[chunk]
            parts.append(self._chunks[chunk].take(pa.array(within)))
        # By way of numpy, which creates Python values several times faster.
        values = [column.to_numpy().tolist() for column in pa.Table.from_batches(parts).columns]
        in_order = [ClipLocation(*row) for row in zip(*values, strict=True)]
        locations = list(in_order)
        for index, location in zip(order.tolist(), in_order, strict=True):
            locations[index] = location
        return locations
