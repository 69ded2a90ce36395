"""Which bytes to request: neighboring clips are merged into one ranged read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.fetch.clip_location import ClipLocation

#: Longer runs of clips are split into several reads, which run concurrently; when one of them
#: fails, only that one is repeated.
MAX_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class RangedRead:
    """One ranged read and the clips inside it."""

    shard: str
    start: int
    """First byte."""
    length: int
    """Bytes, including the gaps between clips."""
    numbers: tuple[int, ...]
    """Numbers of its clips in the list of clips."""


def merge_ranges(
    clips: Sequence[ClipLocation], max_gap_bytes: int, numbers: Iterable[int] | None = None
) -> list[RangedRead]:
    """The reads that fetch the clips with these numbers (default: all), by shard and offset.

    Neighbors with at most `max_gap_bytes` between them share a read of at most `MAX_READ_BYTES`.
    """
    numbers = range(len(clips)) if numbers is None else numbers
    order = sorted(numbers, key=lambda number: (clips[number].shard, clips[number].tar_offset))
    reads: list[RangedRead] = []
    for number in order:
        clip = clips[number]
        last = reads[-1] if reads else None
        if last is not None and last.shard == clip.shard:
            gap = clip.tar_offset - last.start - last.length
            length = max(last.length, clip.tar_offset + clip.tar_bytes - last.start)
            if gap <= max_gap_bytes and length <= MAX_READ_BYTES:
                reads[-1] = RangedRead(last.shard, last.start, length, (*last.numbers, number))
                continue
        reads.append(RangedRead(clip.shard, clip.tar_offset, clip.tar_bytes, (number,)))
    return reads


def merged_totals(
    shard: NDArray[np.int32],
    offset: NDArray[np.int64],
    num_bytes: NDArray[np.int64],
    max_gap_bytes: int,
) -> tuple[int, int]:
    """How many reads `merge_ranges` would make for many lists of clips, and their total bytes.

    The arrays are (N, k): N lists of k clips, each ordered by shard and offset.
    """
    start, end = offset[:, 0], offset[:, 0] + num_bytes[:, 0]
    num_reads, total = len(offset), 0
    for last, clip in itertools.pairwise(range(offset.shape[1])):
        first, stop = offset[:, clip], offset[:, clip] + num_bytes[:, clip]
        is_merged = (
            (shard[:, clip] == shard[:, last])
            & (first - end <= max_gap_bytes)
            & (stop - start <= MAX_READ_BYTES)
        )
        num_reads += int((~is_merged).sum())
        total += int((end - start)[~is_merged].sum())
        start, end = np.where(is_merged, start, first), stop
    return num_reads, total + int((end - start).sum())
