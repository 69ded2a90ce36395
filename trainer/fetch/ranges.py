"""Which bytes to ask for: clips joined into ranged reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.fetch.clip_location import ClipPlace

#: A run of clips longer than this is read in several pieces, side by side; when one fails, the
#: others are kept and only that one is read again.
MAX_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Read:
    """One ranged read and the clips inside it."""

    shard: str
    start: int
    """First byte."""
    length: int
    """Bytes, holes between the clips included."""
    numbers: tuple[int, ...]
    """Which of the given clips these are."""


def join_reads(
    clips: Sequence[ClipPlace], max_hole_bytes: int, numbers: Iterable[int] | None = None
) -> list[Read]:
    """The reads that fetch the clips of these numbers (default: all), neighbours joined.

    Ordered by shard and offset.
    """
    numbers = range(len(clips)) if numbers is None else numbers
    order = sorted(numbers, key=lambda at: (clips[at].shard, clips[at].tar_offset))
    reads: list[Read] = []
    for number in order:
        clip = clips[number]
        last = reads[-1] if reads else None
        if last is not None and last.shard == clip.shard:
            hole = clip.tar_offset - last.start - last.length
            length = max(last.length, clip.tar_offset + clip.tar_bytes - last.start)
            if hole <= max_hole_bytes and length <= MAX_READ_BYTES:
                reads[-1] = Read(last.shard, last.start, length, (*last.numbers, number))
                continue
        reads.append(Read(clip.shard, clip.tar_offset, clip.tar_bytes, (number,)))
    return reads
