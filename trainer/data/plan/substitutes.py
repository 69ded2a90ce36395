"""Which clips may replace an unreadable one: a pure function of index, batch, seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.data.plan.clip_index import ClipIndex
from trainer.data.randomness import rng


def substitute_rows(
    index: ClipIndex, row: int, others: NDArray[np.int64], seed: int, epoch: int
) -> Iterator[int]:
    """Rows of eligible clips of the same movie that may replace a clip, in order of preference.

    No substitute is in the batch already or overlaps a clip of its movie there. Clips that keep the
    policy's minimum gap come first, then the others.

    Args:
        index: the eligible clips.
        row: the clip to replace.
        others: rows of the other clips of its movie (or group) in the batch.
        seed: seed of the plan.
        epoch: epoch of the batch.
    """
    position = int(np.searchsorted(index.row, row))
    movie = index.movie[position]
    first, stop = np.searchsorted(index.movie, [movie, movie + 1])
    generator = rng(seed, epoch, "replace", index.clip_ids[row].as_py())
    positions = generator.permutation(np.arange(first, stop))
    used = np.searchsorted(index.row, others)
    positions = positions[(positions != position) & ~np.isin(positions, used)]
    used = used[index.movie[used] == movie]
    start, end = index.start_ns[positions][:, None], index.end_ns[positions][:, None]
    is_apart = ((start >= index.end_ns[used]) | (end <= index.start_ns[used])).all(axis=1)
    is_close = (np.abs(start - index.start_ns[used]) < index.policy.min_gap_ns).any(axis=1)
    for choice in (is_apart & ~is_close, is_apart & is_close):
        yield from (int(substitute) for substitute in index.row[positions[choice]])
