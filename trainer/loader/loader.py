"""Clips into slots of a batch, side by side: threads that read, threads that decode.

    start: work   read jobs (network)    decode jobs (libjpeg-turbo, without the GIL)
           clips ----------> bytes -----------> crc32c, decode, crop -> slot of the batch

The clips of a read are decoded by a few jobs, not by one each: a job that changes threads costs
about a twentieth of a clip's decoding.

Every clip is written to its own slot, so a batch does not depend on what finishes first. A clip
that cannot be used is reported as a `Problem` of its slot, for the caller to decide on; a storage
error ends the work. Nothing here needs torch: loader processes run it too.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import ChecksumError, FormatError
from shards_spec.recipe import Recipe
from shards_spec.sample import check_crc32c
from shards_spec.storage import Storage
from trainer.fetch import (
    Bytes,
    ClipCache,
    ClipPlace,
    Countdown,
    Counters,
    Fetcher,
    Read,
    ReadBytes,
    Threads,
    join_reads,
)
from trainer.loader.config import StreamConfig
from trainer.loader.decode import ClipDecoder
from trainer.randomness import draws

#: A decode job has at least so many clips, if there are so many.
CLIPS_PER_JOB = 4

#: Reads of one clip whose bytes have the wrong checksum, before it is called bad.
CHECKSUM_TRIES = 3


@dataclass(frozen=True)
class Problem:
    """Why a slot holds no clip."""

    reason: str
    """`checksum` or `format`."""
    message: str


Problems = dict[int, Problem]
"""By slot."""


@dataclass(frozen=True)
class BatchShape:
    """What a batch's memory looks like: all frames, then all log-mels."""

    num_slots: int
    num_frames: int
    frame_size: int
    n_mels: int
    num_mel_frames: int

    @staticmethod
    def of(recipe: Recipe, config: StreamConfig, num_slots: int) -> BatchShape:
        """The shape of a batch of `num_slots` clips."""
        mels = (recipe.n_mels, recipe.num_mel_frames)
        return BatchShape(num_slots, recipe.num_frames, config.frame_size, *mels)

    @property
    def frames_bytes(self) -> int:
        """Bytes of all frames; a multiple of 4, which keeps the log-mels aligned."""
        size = self.num_slots * self.num_frames * self.frame_size**2 * 3
        return -(-size // 4) * 4

    @property
    def num_bytes(self) -> int:
        """Bytes of the batch."""
        return self.frames_bytes + self.num_slots * self.n_mels * self.num_mel_frames * 2

    @property
    def frames(self) -> tuple[int, ...]:
        """(B, T, S, S, 3)."""
        return (self.num_slots, self.num_frames, self.frame_size, self.frame_size, 3)

    @property
    def logmel(self) -> tuple[int, ...]:
        """(B, n_mels, num_mel_frames)."""
        return (self.num_slots, self.n_mels, self.num_mel_frames)


@dataclass(frozen=True, eq=False)
class Slots:
    """The memory of a batch, B slots."""

    frames: NDArray[np.uint8]
    """(B, T, S, S, 3)."""
    logmel: NDArray[np.float16]
    """(B, n_mels, num_mel_frames)."""

    @staticmethod
    def in_memory(memory: memoryview, shape: BatchShape) -> Slots:
        """Slots in given memory of at least `shape.num_bytes`."""
        frames = np.frombuffer(memory, np.uint8, math.prod(shape.frames))
        logmel = np.frombuffer(memory, "<f2", math.prod(shape.logmel), shape.frames_bytes)
        return Slots(frames.reshape(shape.frames), logmel.reshape(shape.logmel))


@dataclass(frozen=True, eq=False)
class Work:
    """Clips of a batch, and the slot that each goes to; neighbours in a shard are read together."""

    clips: Sequence[ClipPlace]
    slots: Sequence[int]
    seed: int
    """With epoch and clip id it decides the crop."""
    epoch: int


class Loader:
    """Reads and decodes clips of a dataset in threads; `close` ends them."""

    def __init__(
        self, storage: Storage, recipe: Recipe, config: StreamConfig, counters: Counters
    ) -> None:
        config.check(recipe)
        self._config = config
        self._counters = counters
        self._decoder = ClipDecoder(recipe)
        # The fetcher repeats what fails, from the byte where it failed, and counts it.
        self._fetcher = Fetcher(storage.with_retries(0), config.deadline_seconds, counters)
        folder = Path(config.cache_dir) if config.cache_dir else None
        self._cache = ClipCache(folder, config.cache_bytes) if folder else None
        self._readers = Threads(config.reads_in_flight, "reelshards-read")
        self._decoders = Threads(config.num_threads, "reelshards-decode")

    def close(self) -> None:
        """Drop what has not begun and end the threads."""
        self._fetcher.close()
        self._readers.close()
        self._decoders.close()

    def start(self, work: Work, slots: Slots) -> Future[Problems]:
        """Fill the slots of `work`; the future has what could not be used.

        It raises `StorageError` when the bytes cannot be had.
        """
        task = _Task(work, slots)
        if self._cache is None:
            self._start_reads(task, range(len(work.clips)))
        else:
            self._readers.submit(partial(task.guard, partial(self._look_up, task, self._cache)))
        return task.done

    def _look_up(self, task: _Task, cache: ClipCache) -> None:
        """Decode what the cache has; read the rest."""
        missing, found = [], []
        begin = time.perf_counter()
        for number, clip in enumerate(task.work.clips):
            data = cache.get(clip)
            if data is None:
                missing.append(number)
            else:
                found.append((number, np.frombuffer(data, dtype=np.uint8)))
        spent = time.perf_counter() - begin
        self._counters.add(num_cache_hits=len(found), read_seconds=spent)
        self._start_fills(task, found)
        self._start_reads(task, missing)

    def _start_reads(self, task: _Task, numbers: Iterable[int]) -> None:
        for read in join_reads(task.work.clips, self._config.max_hole_bytes, numbers):
            self._readers.submit(partial(task.guard, partial(self._read, task, read)))

    def _read(self, task: _Task, read: Read) -> None:
        begin = time.perf_counter()
        got = self._fetcher.read(read.shard, read.start, read.length)
        self._counters.add(read_seconds=time.perf_counter() - begin)
        found = []
        for number in read.numbers:
            clip = task.work.clips[number]
            first = clip.tar_offset - read.start
            found.append((number, got.data[first : first + clip.tar_bytes]))
        self._start_fills(task, found, got)

    def _start_fills(
        self, task: _Task, found: Sequence[tuple[int, Bytes]], got: ReadBytes | None = None
    ) -> None:
        """Have clips (number, bytes) decoded, spread over all decoding threads.

        The bytes are those of the read `got`, whose memory is then used again; None: of the cache.
        """
        size = max(CLIPS_PER_JOB, -(-len(found) // self._config.num_threads))
        parts = [found[first : first + size] for first in range(0, len(found), size)]
        left = Countdown(len(parts))
        for part in parts:
            fill = partial(self._fill, task, part, got, left)
            self._decoders.submit(partial(task.guard, fill))

    def _fill(
        self,
        task: _Task,
        found: Sequence[tuple[int, Bytes]],
        got: ReadBytes | None,
        left: Countdown,
    ) -> None:
        problems: Problems = {}
        begin = time.perf_counter()
        for number, data in found:
            clip, slot = task.work.clips[number], task.work.slots[number]
            try:
                data = self._checked(data, clip, is_cached=got is None)
                self._place(task, clip, slot, data)
            except ChecksumError as error:
                problems[slot] = Problem("checksum", str(error))
            except FormatError as error:
                problems[slot] = Problem("format", str(error))
        self._counters.add(decode_seconds=time.perf_counter() - begin)
        if left.count() and got is not None:
            got.give_back()
        task.finish(len(found), problems)

    def _checked(self, data: Bytes, clip: ClipPlace, *, is_cached: bool) -> Bytes:
        """`data` if its checksum is right; bytes that were only damaged on the way come again."""
        for tries in range(1, CHECKSUM_TRIES + 1):
            try:
                check_crc32c(data, clip)
            except ChecksumError:
                if is_cached and self._cache is not None:
                    self._cache.remove(clip)
                elif tries == CHECKSUM_TRIES:
                    raise
                is_cached = False
                self._counters.add(num_retries=1)
                data = self._fetcher.read(clip.shard, clip.tar_offset, clip.tar_bytes).data
            else:
                break
        if self._cache is not None and not is_cached:
            self._cache.put(clip, data.data)
        return data

    def _place(self, task: _Task, clip: ClipPlace, slot: int, data: Bytes) -> None:
        """Decode and crop a clip into its slot. Raises `FormatError` when it is too small."""
        size = self._config.frame_size
        if min(clip.height, clip.width) < size:
            raise FormatError(
                f"{clip.shard}: clip {clip.clip_id} is {clip.width} x {clip.height} pixels, less "
                f"than frame_size = {size}"
            )
        top, left = (clip.height - size) // 2, (clip.width - size) // 2
        if self._config.crop == "random":
            bounds = (clip.height - size + 1, clip.width - size + 1)
            top, left = draws(bounds, task.work.seed, task.work.epoch, "crop", clip.clip_id)
        frames, logmel = task.slots.frames[slot], task.slots.logmel[slot]
        self._decoder.decode_into(data, clip, frames, logmel, top=top, left=left)


class _Task:
    """Counts the clips of a work that are done; the last one completes the future."""

    def __init__(self, work: Work, slots: Slots) -> None:
        self.work, self.slots = work, slots
        self.done: Future[Problems] = Future()
        self._missing = len(work.clips)
        self._problems: Problems = {}
        self._lock = threading.Lock()

    def guard(self, job: Callable[[], None]) -> None:
        """Run a part of the work; the first error ends all of it."""
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            with self._lock:
                if not self.done.done():
                    self.done.set_exception(error)

    def finish(self, num_clips: int, problems: Problems) -> None:
        """Note that so many more slots are filled, or have their problem."""
        with self._lock:
            self._missing -= num_clips
            self._problems.update(problems)
            if not self._missing and not self.done.done():
                self.done.set_result(self._problems)
