"""Batches under way: their memory, who fills it, and waiting for them.

`Filler` hides whether threads of this process or loader processes fill a batch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.reader import Dataset
from trainer.fetch import ClipPlace, Counters, take_places
from trainer.loader import (
    BatchShape,
    Loader,
    Problem,
    Problems,
    Slots,
    StreamConfig,
    Work,
)
from trainer.stream.shared_memory import Segment, SegmentPool
from trainer.stream.workers import LoaderProcess


@dataclass(frozen=True, eq=False)
class Buffers:
    """A batch that is being filled. B slots."""

    rows: NDArray[np.int64]
    """(B,) rows of the table of clips."""
    clips: list[ClipPlace]
    """By slot."""
    frames: torch.Tensor
    """(B, T, S, S, 3) uint8."""
    logmel: torch.Tensor
    """(B, n_mels, num_mel_frames) float16."""
    slots: Slots
    """The memory of both."""
    segment: Segment
    """Where that memory lies, shared with loader processes."""
    seed: int
    """With epoch and clip id it decides the crop."""
    epoch: int
    problems: Problems
    """By slot; complete when the batch is."""

    def without_problems(self) -> Buffers:
        """The slots that hold a clip, close together; `self` when all do."""
        if not self.problems:
            return self
        keep = [slot for slot in range(len(self.rows)) if slot not in self.problems]
        return dataclasses.replace(
            self,
            rows=self.rows[keep],
            clips=[self.clips[slot] for slot in keep],
            frames=self.frames[keep],
            logmel=self.logmel[keep],
            problems={},
        )


class Pending:
    """A batch under way."""

    def __init__(self, buffers: Buffers, parts: Sequence[Future[Problems]]) -> None:
        self._buffers = buffers
        self._parts = parts

    def wait(self) -> Buffers:
        """The buffers once every slot is filled or has its problem.

        Raises `StorageError` or `LoaderDiedError`.
        """
        for part in self._parts:
            self._buffers.problems.update(part.result())
        return self._buffers

    @property
    def ready(self) -> bool:
        """Whether `wait` would not wait."""
        return all(part.done() for part in self._parts)


class Filler:
    """Fills batches with clips of a dataset; `close` ends its threads and processes."""

    def __init__(
        self, dataset: Dataset, config: StreamConfig, counters: Counters, max_slots: int
    ) -> None:
        config.check(dataset.recipe)
        # A shape takes exact fractions of seconds to work out.
        self._shape = functools.cache(functools.partial(BatchShape.of, dataset.recipe, config))
        self._max_bytes = self._shape(max_slots).num_bytes
        self._clips, self._config = dataset.clips, config
        self._processes = [
            LoaderProcess(dataset, config, counters) for _ in range(config.num_processes)
        ]
        self._threads = (
            None
            if config.num_processes
            else Loader(dataset.storage, dataset.recipe, config, counters)
        )
        self._pool: SegmentPool | None = None
        self._num_works = 0

    def close(self) -> None:
        """Drop what is under way and end all helpers."""
        if self._threads is not None:
            self._threads.close()
        for process in self._processes:
            process.begin_close()
        for process in self._processes:
            process.close()

    def batch_bytes(self, num_slots: int) -> int:
        """Bytes of a batch of so many clips."""
        return self._shape(num_slots).num_bytes

    def submit(self, rows: NDArray[np.int64], seed: int, epoch: int) -> Pending:
        """Begin to load `rows`, (G, k): the k clips of each of G movies, which stand together."""
        shape = self._shape(rows.size)
        segment, slots = self._memory(shape)
        frames, logmel = torch.from_numpy(slots.frames), torch.from_numpy(slots.logmel)
        clips = take_places(self._clips, rows.ravel())
        buffers = Buffers(
            rows.ravel().copy(), clips, frames, logmel, slots, segment, seed, epoch, {}
        )
        slots_Gk = np.arange(rows.size).reshape(rows.shape)
        num_parts = max(1, min(len(self._processes), len(rows)))
        # Movies of a batch are equal amounts of work, so all processes share every batch.
        parts = [slots_Gk[part::num_parts].ravel().tolist() for part in range(num_parts)]
        return Pending(buffers, [self._start(buffers, slots) for slots in parts])

    def load_one(self, buffers: Buffers, slot: int, row: int) -> Problem | None:
        """Put another clip in a slot, now; returns the problem if it cannot be used either."""
        buffers.rows[slot] = row
        buffers.clips[slot] = take_places(self._clips, np.array([row]))[0]
        buffers.problems.pop(slot, None)
        buffers.problems.update(self._start(buffers, [slot]).result())
        return buffers.problems.get(slot)

    def _start(self, buffers: Buffers, slots: list[int]) -> Future[Problems]:
        clips = [buffers.clips[slot] for slot in slots]
        work = Work(clips, slots, buffers.seed, buffers.epoch)
        if self._threads is not None:
            return self._threads.start(work, buffers.slots)
        # In turn, as parts may be unequal by one movie.
        self._num_works += 1
        process = self._processes[self._num_works % len(self._processes)]
        shape = self._shape(len(buffers.rows))
        return process.start(work, buffers.segment, shape)

    def _memory(self, shape: BatchShape) -> tuple[Segment, Slots]:
        """Memory of a batch; used again and again, as fresh memory costs half a clip's decoding."""
        if self._pool is None:
            self._pool = SegmentPool(
                self._max_bytes, self._config.prefetch_batches, pin_memory=self._config.pin_memory
            )
        for number in self._pool.take_dropped():
            for process in self._processes:
                process.forget(number)
        return self._pool.take(shape)
