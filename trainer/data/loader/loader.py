"""Loads clips into slots of a batch with threads that read and threads that decode.

    start: job    read jobs (network)    decode jobs (libjpeg-turbo, without the GIL)
           clips ----------> bytes -----------> crc32c, decode, crop -> slot of the batch

The clips of one read are decoded by a few jobs instead of one each: passing a job to another thread
costs about a twentieth of decoding a clip.

Every clip is written to its own slot, so a batch does not depend on which thread finishes first. A
clip that cannot be used is reported as the `Problem` of its slot, for the caller to handle; a
storage error fails the job. Nothing here needs torch: loader workers run it too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import ChecksumError, FormatError
from shards_spec.recipe import Recipe
from shards_spec.sample import check_crc32c
from shards_spec.storage import Storage
from trainer.data.fetch import ClipCache, DaemonPool
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.fetch.counters import Counters
from trainer.data.fetch.reader import ClipReader, FetchedClips
from trainer.data.loader.batch_memory import BatchArrays
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.decode import ClipDecoder
from trainer.data.loader.jobs import FillJob, Problem, Problems
from trainer.data.randomness import draws

#: A decode job gets at least this many clips, if the read has so many.
CLIPS_PER_JOB = 4

#: A clip is bad when its bytes had the wrong checksum in this many reads.
CHECKSUM_ATTEMPTS = 3


class ThreadLoader:
    """Reads and decodes clips of a dataset in threads of this process; `close` stops them."""

    def __init__(
        self, storage: Storage, recipe: Recipe, config: StreamConfig, counters: Counters
    ) -> None:
        config.check(recipe)
        self._config = config
        self._counters = counters
        self._decoder = ClipDecoder(recipe, on_cuda=config.decode == "cuda")
        folder = Path(config.cache_dir) if config.cache_dir else None
        self._reader = ClipReader(
            storage,
            counters,
            num_threads=config.reads_in_flight,
            max_gap_bytes=config.max_gap_bytes,
            deadline_seconds=config.deadline_seconds,
            cache=ClipCache(folder, config.cache_bytes) if folder else None,
        )
        self._decoders = DaemonPool(config.num_threads, "reelshards-decode")

    def start(self, job: FillJob, arrays: BatchArrays) -> Future[Problems]:
        """Start filling the slots of `job`; see `trainer.data.loader.jobs`."""
        task = _Task(job, arrays)
        self._reader.start(job.clips, partial(self._start_decoding, task), task.guard)
        return task.done

    def release(self, buffer_number: int) -> None:
        """Nothing to do: threads keep no buffers."""

    def begin_close(self) -> None:
        """Nothing to do before `close`."""

    def close(self) -> None:
        """Drop the jobs that have not started and stop the threads."""
        self._reader.close()
        self._decoders.close()

    def _start_decoding(self, task: _Task, fetched: FetchedClips) -> None:
        """Spread the clips of one read over all decoding threads."""
        clips = fetched.clips
        size = max(CLIPS_PER_JOB, -(-len(clips) // self._config.num_threads))
        parts = [clips[first : first + size] for first in range(0, len(clips), size)]
        countdown = _Countdown(len(parts))
        for part in parts:
            decode = partial(self._decode, task, part, fetched, countdown)
            self._decoders.submit(partial(task.guard, decode))

    def _decode(
        self,
        task: _Task,
        clips: Sequence[tuple[int, NDArray[np.uint8]]],
        fetched: FetchedClips,
        countdown: _Countdown,
    ) -> None:
        problems: Problems = {}
        begin = time.perf_counter()
        for number, data in clips:
            clip, slot = task.job.clips[number], task.job.slots[number]
            try:
                data = self._with_right_checksum(data, clip, is_cached=fetched.is_cached)
                self._decode_clip(task, clip, slot, data, task.job.crop_ids[number])
            except ChecksumError as error:
                problems[slot] = Problem("checksum", str(error))
            except FormatError as error:
                problems[slot] = Problem("format", str(error))
        self._counters.add(decode_seconds=time.perf_counter() - begin)
        if countdown.is_last():
            fetched.give_back()
        task.finish(len(clips), problems)

    def _with_right_checksum(
        self, data: NDArray[np.uint8], clip: ClipLocation, *, is_cached: bool
    ) -> NDArray[np.uint8]:
        """`data`, read again if its checksum is wrong: it may have been damaged in transit.

        Raises `ChecksumError` after `CHECKSUM_ATTEMPTS`.
        """
        for attempt in range(1, CHECKSUM_ATTEMPTS + 1):
            try:
                check_crc32c(data, clip)
            except ChecksumError:
                if not is_cached and attempt == CHECKSUM_ATTEMPTS:
                    raise
                data = self._reader.read_again(clip, is_cached=is_cached)
                is_cached = False
            else:
                break
        if not is_cached:
            self._reader.keep(clip, data)
        return data

    def _decode_clip(
        self,
        task: _Task,
        clip: ClipLocation,
        slot: int,
        data: NDArray[np.uint8],
        crop_id: str,
    ) -> None:
        """Decode and crop a clip into its slot. Raises `FormatError` when it is too small."""
        size = self._config.frame_size
        if min(clip.height, clip.width) < size:
            raise FormatError(
                f"{clip.shard}: clip {clip.clip_id} is {clip.width} x {clip.height} pixels, "
                f"smaller than frame_size = {size}"
            )
        top, left = (clip.height - size) // 2, (clip.width - size) // 2
        if self._config.crop == "random":
            bounds = (clip.height - size + 1, clip.width - size + 1)
            top, left = draws(bounds, task.job.seed, task.job.epoch, "crop", crop_id)
        frames, logmel = task.arrays.frames[slot], task.arrays.logmel[slot]
        self._decoder.decode_into(data, clip, frames, logmel, top=top, left=left)


class _Task:
    """Counts the clips of a job that are done; the last one completes the future."""

    def __init__(self, job: FillJob, arrays: BatchArrays) -> None:
        self.job, self.arrays = job, arrays
        self.done: Future[Problems] = Future()
        self._num_missing = len(job.clips)
        self._problems: Problems = {}
        self._lock = threading.Lock()

    def guard(self, work: Callable[[], None]) -> None:
        """Run a part of the job; the first error fails the job."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - passed on through the future
            with self._lock:
                if not self.done.done():
                    self.done.set_exception(error)

    def finish(self, num_clips: int, problems: Problems) -> None:
        """Record that `num_clips` more slots are filled or have a problem."""
        with self._lock:
            self._num_missing -= num_clips
            self._problems.update(problems)
            if not self._num_missing and not self.done.done():
                self.done.set_result(self._problems)


class _Countdown:
    """Tells the last of several threads that it is the last."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()

    def is_last(self) -> bool:
        """Count down by one; True for the call that reaches 0."""
        with self._lock:
            self._number -= 1
            return self._number == 0
