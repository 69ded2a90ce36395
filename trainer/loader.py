"""Clips into batch buffers, side by side: threads that read, threads that decode.

    submit: per movie    read jobs (network)    decode jobs (libjpeg-turbo, without the GIL)
            rows -> reads ----> bytes -----------> crc32c, decode, crop -> slot of the buffer

Every clip is written to its own slot, so a batch does not depend on what finishes first. A clip
that cannot be used is left as a `Problem` in its slot, for the caller to decide on; a storage error
ends the batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.errors import ChecksumError, FormatError
from shards_spec.reader import Dataset, check_crc32c
from shards_spec.schema import ClipRow
from trainer.decode import ClipDecoder, DecodedClip
from trainer.randomness import rng
from trainer.reads import Read, Reader, join_reads, take_rows
from trainer.stream_config import Counters, StreamConfig

#: Reads of one clip whose bytes have the wrong checksum, before it is called bad.
CHECKSUM_TRIES = 3


@dataclass(frozen=True)
class Problem:
    """Why a slot holds no clip."""

    reason: str
    """`checksum` or `format`."""
    message: str


@dataclass(frozen=True, eq=False)
class Buffers:
    """A batch that is being filled. B slots."""

    rows: NDArray[np.int64]
    """(B,) rows of the table of clips."""
    frames: torch.Tensor
    """(B, T, S, S, 3) uint8."""
    logmel: torch.Tensor
    """(B, n_mels, num_mel_frames) float16."""
    seed: int
    """With epoch and clip id it decides the crop."""
    epoch: int
    clips: dict[int, ClipRow] = field(default_factory=dict)
    """By slot."""
    problems: dict[int, Problem] = field(default_factory=dict)
    """By slot; filled while decoding, complete when the batch is."""

    def without_problems(self) -> Buffers:
        """The slots that hold a clip, close together; `self` when all do."""
        if not self.problems:
            return self
        keep = [slot for slot in range(len(self.rows)) if slot not in self.problems]
        return dataclasses.replace(
            self,
            rows=self.rows[keep],
            frames=self.frames[keep],
            logmel=self.logmel[keep],
            clips={number: self.clips[slot] for number, slot in enumerate(keep)},
            problems={},
        )


class Pending:
    """A batch under way."""

    def __init__(self, buffers: Buffers, jobs: Sequence[Future[list[Future[list[Future[None]]]]]]):
        self.buffers = buffers
        self._jobs = jobs

    def wait(self) -> Buffers:
        """The buffers once every slot is filled or has its problem. Raises `StorageError`."""
        for movie in self._jobs:
            for read in movie.result():
                for clip in read.result():
                    clip.result()
        return self.buffers

    @property
    def ready(self) -> bool:
        """Whether `wait` would not wait."""
        return all(
            movie.done() and (movie.exception() is not None or all(map(_read_done, movie.result())))
            for movie in self._jobs
            if not movie.cancelled()
        )


class Loader:
    """Reads and decodes clips of a dataset in threads; `close` ends them."""

    def __init__(self, dataset: Dataset, config: StreamConfig, counters: Counters) -> None:
        config.check(dataset.recipe)
        self._dataset = dataset
        self._config = config
        self._counters = counters
        self._decoder = ClipDecoder(dataset.recipe)
        self._reader = Reader(dataset.storage, config.deadline_seconds, counters)
        self._readers = ThreadPoolExecutor(config.reads_in_flight, "reelshards-read")
        self._decoders = ThreadPoolExecutor(config.num_threads, "reelshards-decode")

    def close(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._reader.close()
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._decoders.shutdown(wait=True, cancel_futures=True)

    @property
    def clip_bytes(self) -> int:
        """Bytes of one clip in a batch."""
        recipe, size = self._dataset.recipe, self._config.frame_size
        return recipe.num_frames * size * size * 3 + recipe.n_mels * recipe.num_mel_frames * 2

    def submit(self, rows: NDArray[np.int64], seed: int, epoch: int) -> Pending:
        """Begin to load `rows`, (G, k): the k clips of each of G movies are read together."""
        recipe, size, pin = self._dataset.recipe, self._config.frame_size, self._config.pin_memory
        frames = (rows.size, recipe.num_frames, size, size, 3)
        logmel = (rows.size, recipe.n_mels, recipe.num_mel_frames)
        buffers = Buffers(
            rows=rows.ravel().copy(),
            frames=torch.empty(frames, dtype=torch.uint8, pin_memory=pin),
            logmel=torch.empty(logmel, dtype=torch.float16, pin_memory=pin),
            seed=seed,
            epoch=epoch,
        )
        first = range(0, rows.size, rows.shape[1])
        jobs = [self._readers.submit(self._begin, buffers, at, rows.shape[1]) for at in first]
        return Pending(buffers, jobs)

    def load_one(self, buffers: Buffers, slot: int, row: int) -> Problem | None:
        """Put another clip in a slot, now; returns the problem if it cannot be used either."""
        clip = take_rows(self._dataset.clips, np.array([row]))[0]
        buffers.rows[slot] = row
        buffers.clips[slot] = clip
        buffers.problems.pop(slot, None)
        data = self._reader.read(clip.shard, clip.tar_offset, clip.tar_bytes)
        self._decode(buffers, slot, data)
        return buffers.problems.get(slot)

    def _begin(self, buffers: Buffers, first: int, size: int) -> list[Future[list[Future[None]]]]:
        clips = take_rows(self._dataset.clips, buffers.rows[first : first + size])
        buffers.clips.update(enumerate(clips, first))
        return [
            self._readers.submit(self._read, buffers, first, read)
            for read in join_reads(clips, self._config.max_hole_bytes)
        ]

    def _read(self, buffers: Buffers, first: int, read: Read) -> list[Future[None]]:
        data = self._reader.read(read.shard, read.start, read.length)
        jobs = []
        for slot in (first + number for number in read.slots):
            clip = buffers.clips[slot]
            begin = clip.tar_offset - read.start
            piece = data[begin : begin + clip.tar_bytes]
            jobs.append(self._decoders.submit(self._decode, buffers, slot, piece))
        return jobs

    def _decode(self, buffers: Buffers, slot: int, data: memoryview) -> None:
        clip = buffers.clips[slot]
        try:
            data = self._checked(data, clip)
            self._place(buffers, slot, self._decoder.decode(data, clip))
        except ChecksumError as error:
            buffers.problems[slot] = Problem("checksum", str(error))
        except FormatError as error:
            buffers.problems[slot] = Problem("format", str(error))

    def _checked(self, data: memoryview, clip: ClipRow) -> memoryview:
        """`data` if its checksum is right; bytes that were only damaged on the way come again."""
        for _ in range(CHECKSUM_TRIES - 1):
            try:
                check_crc32c(data, clip)
            except ChecksumError:
                self._counters.add(num_retries=1)
                data = self._reader.read(clip.shard, clip.tar_offset, clip.tar_bytes)
            else:
                return data
        check_crc32c(data, clip)
        return data

    def _place(self, buffers: Buffers, slot: int, clip: DecodedClip) -> None:
        """Crop the clip into its slot. Raises `FormatError` when it is too small."""
        size, row = self._config.frame_size, buffers.clips[slot]
        _, height, width, _ = clip.frames.shape
        if min(height, width) < size:
            raise FormatError(
                f"{row.shard}: clip {row.clip_id} is {width} x {height} pixels, less than "
                f"frame_size = {size}"
            )
        top, left = (height - size) // 2, (width - size) // 2
        if self._config.crop == "random":
            generator = rng(buffers.seed, buffers.epoch, "crop", row.clip_id)
            top = int(generator.integers(height - size + 1))
            left = int(generator.integers(width - size + 1))
        frames = buffers.frames[slot].numpy()
        frames[:] = clip.frames[:, top : top + size, left : left + size]
        buffers.logmel[slot].numpy()[:] = clip.logmel


def _read_done(read: Future[list[Future[None]]]) -> bool:
    if not read.done() or read.cancelled() or read.exception() is not None:
        return read.done()
    return all(clip.done() for clip in read.result())
