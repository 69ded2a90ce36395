"""Cuts the eligible clips into chunks, which are fetched with one ranged read each.

A chunk is c = k / r consecutive eligible clips of a shard. Where a filter has left gaps,
"consecutive" means that no eligible clip lies between them; the stream reads across small gaps and
splits the read at large ones. The first cut of each shard moves with the epoch and the cutting
wraps around the end of the shard, so that each clip meets different ones in each epoch and exactly
n mod c clips are left over. The one chunk per shard that wraps around takes two reads.

Clips of a movie in a batch must not overlap and must keep the policy's minimum gap. Chunks that
violate this are repaired: the clips of a window of neighboring chunks are sorted by time and dealt
to these chunks in turn. In a window of w chunks, that puts w - 1 clips of the window between two
neighbors in a chunk; w doubles, up to the whole shard, until the chunk is valid. Chunks that no
window repairs are dropped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.plan.clip_index import ClipIndex, Ints
from trainer.data.randomness import rng

#: How often units with a conflict are mixed with others of their movie before they are dropped.
MIXING_ROUNDS = 12

#: Sets of clips checked for conflicts at a time, which bounds the memory that this takes.
_BLOCK = 1 << 16

#: Share of a chunk by which the cuts of a shard move from one epoch to the next.
_SHIFT = 0.382


@dataclass(frozen=True, eq=False)
class Timeline:
    """All movies on one timeline, so far apart that clips of different movies never conflict.

    The arrays have shape (E,), in nanoseconds.
    """

    start: Ints
    end: Ints
    min_gap_ns: int

    @staticmethod
    def of(index: ClipIndex, min_gap_ns: int) -> Timeline:
        """The timeline of an index."""
        firsts = np.flatnonzero(np.diff(index.movie, prepend=-1))
        low = np.minimum.reduceat(index.start_ns, firsts)
        high = np.maximum.reduceat(np.maximum(index.end_ns, index.start_ns), firsts)
        length = high - low + min_gap_ns + 1
        shift = np.repeat(np.cumsum(length) - length - low, np.diff(firsts, append=len(index.row)))
        return Timeline(index.start_ns + shift, index.end_ns + shift, min_gap_ns)

    def has_conflict(self, positions: Ints) -> NDArray[np.bool_]:
        """(..., n) positions -> (...) bool: two of the n clips overlap or start too close."""
        if positions.shape[-1] < 2:
            return np.zeros(positions.shape[:-1], dtype=bool)
        if len(positions) > _BLOCK:
            blocks = range(0, len(positions), _BLOCK)
            parts = [self.has_conflict(positions[first : first + _BLOCK]) for first in blocks]
            return np.concatenate(parts)
        start = self.start[positions]
        order = np.argsort(start, axis=-1)
        start = np.take_along_axis(start, order, axis=-1)
        end = np.take_along_axis(self.end[positions], order, axis=-1)
        # A clip that reaches into any later one also reaches into the next: neighbors suffice.
        needed = np.maximum(end[..., :-1], start[..., :-1] + self.min_gap_ns)
        return np.asarray((start[..., 1:] < needed).any(axis=-1))


def cut(index: ClipIndex, size: int, seed: int, epoch: int) -> tuple[Ints, Ints]:
    """All chunks of an epoch, not yet checked for conflicts.

    Returns:
        (N, size) positions, ordered by shard; and (N,) the number of each chunk's shard.
    """
    first = np.flatnonzero(np.diff(index.shard, prepend=-1)).astype(np.int64)
    length = np.diff(first, append=index.num_eligible)
    count = length // size
    if not count.any():
        return np.empty((0, size), dtype=np.int64), np.empty(0, dtype=np.int64)
    base = rng(seed, 0, "cut").random(len(first)) * length
    jump = rng(seed, epoch, "cut").random(len(first)) * count
    # The cuts move by a fixed fraction of a chunk, so that consecutive epochs never cut alike; the
    # jumps by whole chunks let any clip be among those left over.
    offset = base.astype(np.int64) + epoch * _shift(size) + size * jump.astype(np.int64)
    offset %= length
    shard = np.repeat(np.arange(len(first), dtype=np.int64), count)
    number = np.arange(len(shard), dtype=np.int64) - np.repeat(np.cumsum(count) - count, count)
    inner = (offset[shard] + number * size)[:, None] + np.arange(size, dtype=np.int64)
    inner %= length[shard][:, None]
    inner += first[shard][:, None]
    return inner, shard


def repair(positions: Ints, shard: Ints, timeline: Timeline) -> tuple[Ints, NDArray[np.bool_]]:
    """Redistribute clips among the chunks of a shard where clips of one chunk conflict.

    Args:
        positions: (N, c) chunks, ordered by shard; not modified.
        shard: (N,) shard of each chunk.
        timeline: start and end of the clips.

    Returns:
        (N, c) the same positions, exchanged within shards; (N,) bool, chunks that still conflict.
    """
    bad = timeline.has_conflict(positions)
    if not bad.any():
        return positions, bad
    positions = positions.copy()
    starts = np.flatnonzero(np.diff(shard, prepend=-1))
    count = np.diff(starts, append=len(shard))
    number = np.arange(len(shard), dtype=np.int64) - np.repeat(starts, count)
    reach, largest = 2, int(count.max())
    while bad.any() and reach < 2 * largest:
        window = np.cumsum(np.diff(number // reach, prepend=0) != 0 | (number == 0)) - 1
        _deal(positions, bad, window, timeline)
        reach *= 2
    return positions, bad


def _deal(positions: Ints, bad: NDArray[np.bool_], window: Ints, timeline: Timeline) -> None:
    """Deal the clips of every window with a conflict, in place, where that reduces conflicts."""
    flagged = np.zeros(int(window[-1]) + 1, dtype=bool)
    flagged[window[bad]] = True
    chunks = np.flatnonzero(flagged[window])
    size = positions.shape[1]
    start = np.flatnonzero(np.diff(window[chunks], prepend=-1))
    width = np.diff(start, append=len(chunks))
    of_chunk = np.repeat(np.arange(len(start)), width)
    flat = positions[chunks].ravel()
    of_clip = np.repeat(of_chunk, size)
    flat = flat[np.lexsort((timeline.start[flat], of_clip))]
    rank = np.arange(len(flat)) - start[of_clip] * size
    dealt = np.empty((len(chunks), size), dtype=np.int64)
    dealt[start[of_clip] + rank % width[of_clip], rank // width[of_clip]] = flat
    now = timeline.has_conflict(dealt)
    better = np.add.reduceat(now.astype(np.int64) - bad[chunks], start) < 0
    accepted = better[of_chunk]
    positions[chunks[accepted]] = dealt[accepted]
    bad[chunks[accepted]] = now[accepted]


def bundle(
    chunks: Ints, group: Ints, reads: int, timeline: Timeline, generator: np.random.Generator
) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Join `reads` random chunks of a group into a unit: the group's clips in one step.

    Args:
        chunks: (N, c) positions.
        group: (N,) group of each chunk.
        reads: r; chunks left over in their group are not in the result.
        timeline: start and end of the clips.
        generator: decides which chunks meet.

    Returns:
        (U, r * c) positions; (U,) group of each unit; (U,) bool, units that still conflict.
    """
    size = chunks.shape[1] * reads
    order, number, count = shuffled(group, generator)
    order = order[number < (count // reads * reads)[group[order]]]
    units = chunks[order].reshape(-1, size)
    group = group[order][::reads]
    bad = timeline.has_conflict(units)
    for _ in range(MIXING_ROUNDS):
        if not bad.any():
            break
        _mix(units, bad, group, reads, timeline, generator)
    return units, group, bad


def _mix(
    units: Ints,
    bad: NDArray[np.bool_],
    group: Ints,
    reads: int,
    timeline: Timeline,
    generator: np.random.Generator,
) -> None:
    """Swap chunks between random pairs of units, in place, where that reduces conflicts."""
    order, number, _ = shuffled(group, generator)
    even = np.flatnonzero(number[:-1] % 2 == 0)
    even = even[group[order[even]] == group[order[even + 1]]]
    pairs = np.stack([order[even], order[even + 1]], axis=1)
    pairs = pairs[bad[pairs].any(axis=1)]
    if not len(pairs):
        return
    pool = units[pairs].reshape(len(pairs), 2 * reads, -1)
    shuffle = np.argsort(generator.random((len(pairs), 2 * reads)), axis=1)
    mixed = np.take_along_axis(pool, shuffle[:, :, None], axis=1).reshape(len(pairs), 2, -1)
    now = timeline.has_conflict(mixed)
    better = now.sum(axis=1) < bad[pairs].sum(axis=1)
    units[pairs[better]] = mixed[better]
    bad[pairs[better]] = now[better]


def shuffled(group: Ints, generator: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """A random order that keeps the members of a group together.

    Returns:
        (N,) the order; (N,) number of each element within its group; (max group + 1,) group sizes.
    """
    order = generator.permutation(len(group))
    # numpy sorts 16-bit keys with a radix sort, several times faster; most corpora fit in 16 bits.
    keys = group.astype(np.uint16) if len(group) and group.max() < 1 << 16 else group
    order = order[np.argsort(keys[order], kind="stable")]
    count = np.bincount(group)
    number = np.arange(len(group), dtype=np.int64) - np.repeat(np.cumsum(count) - count, count)
    return order, number, count


def _shift(size: int) -> int:
    """About 0.382 of a chunk, coprime to its size: the cuts take every offset before repeating."""
    return next(
        n for n in range(max(1, round(_SHIFT * size)), 2 * size + 2) if np.gcd(n, size) == 1
    )
