"""Which bytes to ask for: clips joined into ranged reads, and reads that survive bad moments."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from shards_spec.errors import ObjectNotFoundError, StorageError
from shards_spec.storage import Storage
from trainer.clip_places import ClipPlace
from trainer.stream_config import Counters

#: A run of clips longer than this is read in several pieces, side by side.
MAX_READ_BYTES = 16 * 1024 * 1024

#: First and longest wait before a read is repeated, seconds.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


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


def join_reads(clips: Sequence[ClipPlace], max_hole_bytes: int) -> list[Read]:
    """The reads that fetch all `clips`, neighbours joined; ordered by shard and offset."""
    order = sorted(range(len(clips)), key=lambda at: (clips[at].shard, clips[at].tar_offset))
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


class Reader:
    """Ranged reads that are tried again with growing pauses, until a deadline."""

    def __init__(self, storage: Storage, deadline_seconds: float, counters: Counters) -> None:
        self._storage = storage
        self._deadline_seconds = deadline_seconds
        self._counters = counters
        self._closing = threading.Event()

    def close(self) -> None:
        """Let no read be repeated any more."""
        self._closing.set()

    def read(self, shard: str, start: int, length: int) -> memoryview:
        """Bytes [start, start + length) of a shard.

        Raises `StorageError` (or its subclass) that names shard and offset: at once when there is
        no such shard, after the deadline when the store cannot be reached or refuses.
        """
        begin = time.monotonic()
        pause = FIRST_PAUSE_SECONDS
        tries = 1
        while True:
            self._counters.add(num_requests=1)
            try:
                data = self._storage.get_range(shard, start, length)
            except StorageError as error:
                spent = time.monotonic() - begin
                if self._is_final(error) or spent + pause > self._deadline_seconds:
                    raise type(error)(
                        f"{error} (bytes {start} to {start + length}, "
                        f"{tries} tries in {spent:.1f} s)"
                    ) from error
                # Ranks that fail together should not come back together; no result depends on it.
                self._closing.wait(pause * random.uniform(0.5, 1.0))
            else:
                self._counters.add(bytes_read=length)
                return data
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            tries += 1
            self._counters.add(num_retries=1)

    def _is_final(self, error: StorageError) -> bool:
        return self._closing.is_set() or isinstance(error, ObjectNotFoundError)
