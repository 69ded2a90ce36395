"""Batches in progress: their memory, the loaders that fill it, and waiting for them.

`BatchFiller` hides whether threads of this process or loader workers fill a batch.
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

from shards_spec.dataset.reader import Dataset
from trainer.data.fetch.clip_location import ClipLocation, ClipRows
from trainer.data.fetch.counters import Counters
from trainer.data.loader import LoaderWorker, StreamConfig, ThreadLoader
from trainer.data.loader.batch_memory import BatchArrays, BatchShape
from trainer.data.loader.jobs import FillJob, Loader, Problem
from trainer.data.stream.batch import Batch
from trainer.data.stream.shared_memory import SharedBufferPool


@dataclass(frozen=True, eq=False)
class BatchBuffers:
    """A batch that is being filled. B slots."""

    rows: NDArray[np.int64]
    """(B,) rows of the table of clips."""
    clips: list[ClipLocation]
    """By slot."""
    frames: torch.Tensor
    """(B, T, S, S, 3) uint8."""
    logmel: torch.Tensor
    """(B, n_mels, num_mel_frames) float16."""
    arrays: BatchArrays
    """The memory of both."""
    seed: int
    """Determines the random crop, together with epoch and clip id."""
    epoch: int
    num_joined: int
    """w: slots in a row that are joined into one clip."""
    problems: dict[int, Problem]
    """By slot; complete when the batch is."""

    def without_problems(self) -> BatchBuffers:
        """Only the slots that have a clip; `self` when all do."""
        if not self.problems:
            return self
        assert self.num_joined == 1, "joined clips are replaced, not left out"
        keep = [slot for slot in range(len(self.rows)) if slot not in self.problems]
        return dataclasses.replace(
            self,
            rows=self.rows[keep],
            clips=[self.clips[slot] for slot in keep],
            frames=self.frames[keep],
            logmel=self.logmel[keep],
            problems={},
        )

    def to_batch(self, group: NDArray[np.int32], movie: NDArray[np.int32], step: int) -> Batch:
        """The finished batch; `group` and `movie` are the (B,) numbers of each clip's.

        Joined clips become one: frames and mel frames one after the other, the rest of the first.
        """
        width = self.num_joined
        times = np.array([(clip.shot_id, clip.start_ns) for clip in self.clips[::width]], np.int64)
        shot, start_ns = torch.from_numpy(times.T.copy())
        frames, logmel = self.frames, self.logmel
        if width > 1:
            frames = frames.view(-1, width, *frames.shape[1:]).flatten(1, 2)
            logmel = logmel.view(-1, width, *logmel.shape[1:]).transpose(1, 2).flatten(2)
        return Batch(
            frames=frames,
            logmel=logmel,
            clip=torch.from_numpy(self.rows[::width].copy()),
            group=torch.from_numpy(group.astype(np.int64)),
            movie=torch.from_numpy(movie.astype(np.int64)),
            shot=shot,
            start_ns=start_ns,
            epoch=self.epoch,
            step=step,
        )


class BatchFuture:
    """A batch in progress."""

    def __init__(self, buffers: BatchBuffers, parts: Sequence[Future[dict[int, Problem]]]) -> None:
        self._buffers = buffers
        self._parts = parts

    def wait(self) -> BatchBuffers:
        """The buffers once every slot is filled or has a problem.

        Raises `StorageError` or `LoaderDiedError`.
        """
        for part in self._parts:
            self._buffers.problems.update(part.result())
        return self._buffers

    @property
    def ready(self) -> bool:
        """Whether `wait` would return at once."""
        return all(part.done() for part in self._parts)


class BatchFiller:
    """Fills batches with clips of a dataset; `close` stops its threads and workers."""

    def __init__(
        self, dataset: Dataset, config: StreamConfig, counters: Counters, max_slots: int
    ) -> None:
        config.check(dataset.recipe)
        # Computing a shape involves exact fractions of seconds, so shapes are cached.
        self._shape = functools.cache(functools.partial(BatchShape.of, dataset.recipe, config))
        self._clips = ClipRows(dataset.clips)
        setup = (dataset.storage, dataset.recipe, config, counters)
        self._loaders: list[Loader] = [LoaderWorker(*setup) for _ in range(config.num_processes)]
        if not config.num_processes:
            self._loaders = [ThreadLoader(*setup)]
        self._pool = SharedBufferPool(
            self._shape(max_slots).num_bytes, config.prefetch_batches, pin_memory=config.pin_memory
        )
        self._num_jobs = 0

    def close(self) -> None:
        """Drop batches in progress and stop all loaders."""
        for loader in self._loaders:
            loader.begin_close()
        for loader in self._loaders:
            loader.close()

    def batch_bytes(self, num_slots: int) -> int:
        """Bytes of a batch of `num_slots` clips."""
        return self._shape(num_slots).num_bytes

    def submit(
        self, rows: NDArray[np.int64], seed: int, epoch: int, num_joined: int = 1
    ) -> BatchFuture:
        """Start loading `rows`, (G, k): the k clips of each of G movies, which stay neighbors.

        With `num_joined` w, each w rows in a row are joined into one clip.
        """
        arrays = self._take_memory(rows.size)
        buffers = BatchBuffers(
            rows=rows.ravel().copy(),
            clips=self._clips.take(rows.ravel()),
            frames=torch.from_numpy(arrays.frames),
            logmel=torch.from_numpy(arrays.logmel),
            arrays=arrays,
            seed=seed,
            epoch=epoch,
            num_joined=num_joined,
            problems={},
        )
        slots_Gk = np.arange(rows.size).reshape(rows.shape)
        num_parts = max(1, min(len(self._loaders), len(rows)))
        # The movies of a batch are equal amounts of work, so all loaders share every batch.
        parts = [slots_Gk[part::num_parts].ravel().tolist() for part in range(num_parts)]
        return BatchFuture(buffers, [self._start(buffers, slots) for slots in parts])

    def load_again(
        self, buffers: BatchBuffers, slots: Sequence[int], rows: NDArray[np.int64]
    ) -> int | None:
        """Load other clips into slots and wait for them.

        Returns the first slot whose clip is bad too; None if there is none.
        """
        for slot, row, clip in zip(slots, rows, self._clips.take(rows), strict=True):
            buffers.rows[slot], buffers.clips[slot] = row, clip
            buffers.problems.pop(slot, None)
        buffers.problems.update(self._start(buffers, list(slots)).result())
        return next((slot for slot in slots if slot in buffers.problems), None)

    def _start(self, buffers: BatchBuffers, slots: list[int]) -> Future[dict[int, Problem]]:
        clips = [buffers.clips[slot] for slot in slots]
        width = buffers.num_joined
        crop_ids = [buffers.clips[slot // width * width].clip_id for slot in slots]
        # In turn, because parts may differ by one movie.
        self._num_jobs += 1
        loader = self._loaders[self._num_jobs % len(self._loaders)]
        return loader.start(
            FillJob(clips, slots, buffers.seed, buffers.epoch, crop_ids), buffers.arrays
        )

    def _take_memory(self, num_slots: int) -> BatchArrays:
        """Memory of a batch. It is reused, because fresh memory costs half a clip's decoding."""
        for number in self._pool.take_dropped():
            for loader in self._loaders:
                loader.release(number)
        return self._pool.take(self._shape(num_slots))
