"""Reads clips concurrently, from the cache if there is one, else from storage in merged ranges.

    start: clips -> cache lookup -> merged ranged reads -> deliver(FetchedClips), once per read

Checksums are the caller's job, because they cost CPU time and reading threads only wait: the caller
reports bytes that turned out wrong with `read_again`, and bytes that were right with `keep`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from shards_spec.storage import Storage
from trainer.data.fetch.buffer_pool import Bytes, RangeBytes
from trainer.data.fetch.cache import ClipCache
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.fetch.counters import Counters
from trainer.data.fetch.fetcher import Fetcher
from trainer.data.fetch.ranges import RangedRead, merge_ranges
from trainer.data.fetch.threads import DaemonPool


@dataclass(frozen=True, eq=False)
class FetchedClips:
    """Clips whose bytes have arrived together, not checked yet."""

    clips: Sequence[tuple[int, Bytes]]
    """Number of each clip in the list of clips, and its bytes (1-D)."""
    is_cached: bool
    """Whether the bytes come from the cache."""
    memory: RangeBytes | None
    """The read that the bytes belong to; None for cached clips."""

    def give_back(self) -> None:
        """Return the memory for reuse; nobody may access the bytes afterwards."""
        if self.memory is not None:
            self.memory.give_back()


Deliver = Callable[[FetchedClips], None]
Guard = Callable[[Callable[[], None]], None]


class ClipReader:
    """Reads clips of a storage in threads; may be used from any thread. `close` stops it."""

    def __init__(
        self,
        storage: Storage,
        counters: Counters,
        *,
        num_threads: int,
        max_gap_bytes: int,
        deadline_seconds: float,
        cache: ClipCache | None,
    ) -> None:
        self._counters, self._cache, self._max_gap_bytes = counters, cache, max_gap_bytes
        # The fetcher retries by itself, from the byte where a request failed, and counts it.
        self._fetcher = Fetcher(storage.with_retries(0), deadline_seconds, counters)
        self._threads = DaemonPool(num_threads, "reelshards-read")

    def close(self) -> None:
        """Drop the reads that have not started and stop the threads."""
        self._fetcher.close()
        self._threads.close()

    def start(self, clips: Sequence[ClipLocation], deliver: Deliver, guard: Guard) -> None:
        """Have clips read and delivered, each of them once, from the reading threads.

        `guard` runs each part of the work and handles what it raises: `StorageError` when clips
        cannot be read.
        """
        if self._cache is None:
            self._start_reads(clips, range(len(clips)), deliver, guard)
            return
        cache = self._cache

        def look_up() -> None:
            missing = self._deliver_cached(clips, cache, deliver)
            self._start_reads(clips, missing, deliver, guard)

        self._threads.submit(lambda: guard(look_up))

    def read_again(self, clip: ClipLocation, *, is_cached: bool) -> Bytes:
        """The bytes of a clip from storage, after they had a wrong checksum."""
        if is_cached and self._cache is not None:
            self._cache.remove(clip)
        self._counters.add(num_retries=1)
        return self._fetcher.read(clip.shard, clip.tar_offset, clip.tar_bytes).data

    def keep(self, clip: ClipLocation, data: Bytes) -> None:
        """Add bytes read from storage, with the right checksum, to the cache if there is one."""
        if self._cache is not None:
            self._cache.put(clip, data.data)

    def _deliver_cached(
        self, clips: Sequence[ClipLocation], cache: ClipCache, deliver: Deliver
    ) -> list[int]:
        """Deliver the clips that the cache has; returns the numbers of the others."""
        missing, cached = [], []
        start = time.perf_counter()
        for number, clip in enumerate(clips):
            data = cache.get(clip)
            if data is None:
                missing.append(number)
            else:
                cached.append((number, np.frombuffer(data, dtype=np.uint8)))
        self._counters.add(num_cache_hits=len(cached), read_seconds=time.perf_counter() - start)
        if cached:
            deliver(FetchedClips(cached, is_cached=True, memory=None))
        return missing

    def _start_reads(
        self, clips: Sequence[ClipLocation], numbers: Iterable[int], deliver: Deliver, guard: Guard
    ) -> None:
        for read in merge_ranges(clips, self._max_gap_bytes, numbers):

            def job(read: RangedRead = read) -> None:
                guard(lambda: self._read(clips, read, deliver))

            self._threads.submit(job)

    def _read(self, clips: Sequence[ClipLocation], read: RangedRead, deliver: Deliver) -> None:
        start = time.perf_counter()
        memory = self._fetcher.read(read.shard, read.start, read.length)
        self._counters.add(read_seconds=time.perf_counter() - start)
        fetched = []
        for number in read.numbers:
            first = clips[number].tar_offset - read.start
            fetched.append((number, memory.data[first : first + clips[number].tar_bytes]))
        deliver(FetchedClips(fetched, is_cached=False, memory=memory))
