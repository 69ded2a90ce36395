"""Which clips may take the place of a bad one: a pure function of index, batch, seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.plan.clip_index import ClipIndex
from trainer.randomness import rng


def replacements(
    index: ClipIndex, row: int, others: NDArray[np.int64], seed: int, epoch: int
) -> Iterator[int]:
    """Rows of other eligible clips of the bad clip's movie, in the order to try them.

    None is in the batch or overlaps a clip of its movie there. Those that keep the policy's least
    gap come first; a movie that has no more of them still gives the rest.

    Args:
        index: the eligible clips.
        row: of the bad clip.
        others: rows of the other clips of the movie (or group) in the batch.
        seed: of the plan.
        epoch: of the batch.
    """
    place = int(np.searchsorted(index.row, row))
    movie = index.movie[place]
    low, high = np.searchsorted(index.movie, [movie, movie + 1])
    places = rng(seed, epoch, "replace", index.clip_ids[row].as_py()).permutation(
        np.arange(low, high)
    )
    taken = np.searchsorted(index.row, others)
    places = places[(places != place) & ~np.isin(places, taken)]
    taken = taken[index.movie[taken] == movie]
    start, end = index.start_ns[places][:, None], index.end_ns[places][:, None]
    apart = (start >= index.end_ns[taken]) | (end <= index.start_ns[taken])
    near = np.abs(start - index.start_ns[taken]) < index.policy.min_gap_ns
    sound, gapped = apart.all(axis=1), ~near.any(axis=1)
    for choice in (sound & gapped, sound & ~gapped):
        yield from (int(found) for found in index.row[places[choice]])
