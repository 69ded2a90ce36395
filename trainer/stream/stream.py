"""The stream: batches of a plan, read from storage ahead of time, in the plan's order for ever.

What it promises, and anything else is a bug:

- Equal dataset, policy, seed, epoch and step give equal batches, whatever the number of processes,
  threads and ranks, wherever the stream began, and whatever finished first.
- A clip that cannot be read or decoded is replaced by another of its movie (the choice is a
  function of seed, epoch and clip), counted by reason, logged the first and every 1000th time;
  above `max_bad_fraction` the stream raises `FormatError`.
- A store that fails is asked again until the deadline; then the stream raises `StorageError`.
- A loader process that dies is named, with how it ended, in a `LoaderDiedError`.
- Whatever is raised, Ctrl-C too, threads and processes end before it leaves the stream. After
  `close` or an error a stream is used up. When the training process itself is killed, its loader
  processes end and leave no memory behind.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.errors import FormatError, InputError
from shards_spec.reader import Dataset
from trainer.fetch import ClipCache, Counters, StreamStats
from trainer.loader import StreamConfig
from trainer.plan import (
    BatchPlan,
    BatchPolicy,
    ClipIndex,
    PlanAhead,
    PlanState,
    movie_numbers,
    movies_per_rank,
    naming_phase,
    plan_epoch,
    rank_slice,
    replacements,
)
from trainer.stream.batch import Batch
from trainer.stream.batch_filler import Buffers, Filler, Pending

__all__ = ["ClipStream", "StreamConfig", "StreamStats", "read_all"]

_log = logging.getLogger(__name__)

#: The first bad clip is logged, and then every so many.
LOG_EVERY = 1000


class ClipStream:
    """An endless iterator of one rank's batches, from (epoch, step) on; a context manager."""

    def __init__(
        self,
        dataset: Dataset,
        policy: BatchPolicy,
        config: StreamConfig,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        epoch: int = 0,
        step: int = 0,
        steps_done: int = 0,
    ) -> None:
        """Plan the epoch; reading begins with the first batch that is asked for.

        Raises:
            PolicyError: the dataset cannot serve the policy, or the ranks cannot share its movies.
            InputError: a filter on unknown columns, frames smaller than `frame_size`, no such step,
                or a cache folder that cannot be used.
        """
        for begin, phase in policy.phases().items():
            with naming_phase(policy, begin):
                movies_per_rank(phase.movies_per_batch, world_size)
        config.check(dataset.recipe)
        if config.cache_dir:
            # Here the user is told; from a loader process there would be a traceback.
            ClipCache(Path(config.cache_dir), config.cache_bytes)
        index = ClipIndex.from_dataset(dataset, policy)
        self._index, self._policy, self._config, self._seed = index, policy, config, seed
        self._rank, self._world_size = rank, world_size
        self._plans = PlanAhead(index, seed)
        self._next = self._submitted = place = _next_place(policy, epoch, step, steps_done)
        self._first_plan = self._first_of_all_plans(place)
        self._counters = Counters()
        self._bad = _BadClips(dataset.storage.uri, config, self._counters)
        self._max_slots = max(one.batch_size for one in policy.phases().values()) // world_size
        self._filler = Filler(dataset, config, self._counters, self._max_slots)
        batch_bytes = self._filler.batch_bytes(self._max_slots)
        self._depth = max(1, min(config.prefetch_batches, config.prefetch_bytes // batch_bytes))
        self._queue: deque[tuple[_Place, int, Pending]] = deque()
        self._closed = False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise RuntimeError("the stream is closed; make a new one to go on")
        begin = time.perf_counter()
        try:
            self._fill(1)
            place, k, pending = self._queue.popleft()
            self._fill(self._depth)
            buffers = pending.wait()
            self._mend(buffers, k)
        except BaseException:
            self.close()
            raise
        self._next = _Place(place.epoch, place.step + 1, place.steps_done + 1)
        self._counters.wait_seconds += time.perf_counter() - begin
        self._counters.add(num_batches=1, num_clips=len(buffers.rows))
        positions = self._index.places(buffers.rows)
        group, movie = self._index.group[positions], self._index.movie[positions]
        return _batch(buffers, group, movie, place.epoch, place.step)

    def __enter__(self) -> ClipStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all threads and processes; batches that were handed out stay valid."""
        self._closed = True
        self._queue.clear()
        self._filler.close()
        self._plans.close()

    @property
    def num_steps_per_epoch(self) -> int:
        """Steps of the epoch that the stream began in; others may differ by a few when clips are
        left out for `min_gap_seconds`."""
        return self._first_plan.num_steps

    def state(self) -> PlanState:
        """Where the next batch stands; a stream made with its epoch and step goes on from here."""
        return PlanState(
            epoch=self._next.epoch,
            step=self._next.step,
            steps_done=self._next.steps_done,
            seed=self._seed,
            index_fingerprint=self._index.fingerprint,
            policy=self._policy,
        )

    def stats(self) -> StreamStats:
        """The counts so far."""
        return self._counters.snapshot(sum(pending.ready for _, _, pending in self._queue))

    def _fill(self, depth: int) -> None:
        """Have `depth` batches under way."""
        while len(self._queue) < depth:
            place = self._submitted
            policy = self._policy.at_step(place.steps_done)
            plan = self._plans.get(place.epoch, policy)
            if place.step >= plan.num_steps:
                self._submitted = _Place(place.epoch + 1, 0, place.steps_done)
                continue
            rows = rank_slice(plan, place.step, self._rank, self._world_size)
            pending = self._filler.submit(rows, self._seed, place.epoch)
            self._queue.append((place, policy.clips_per_movie, pending))
            self._submitted = _next_place(
                self._policy, place.epoch, place.step + 1, place.steps_done + 1
            )

    def _first_of_all_plans(self, place: _Place) -> BatchPlan:
        """The plan of a place, once every later phase of the schedule has turned out possible."""
        try:
            for step, phase in self._policy.phases().items():
                if step > place.steps_done:
                    with naming_phase(self._policy, step):
                        plan_epoch(self._index, phase, self._seed, place.epoch)
            plan = self._plans.get(place.epoch, self._policy.at_step(place.steps_done))
            if not 0 <= place.step <= plan.num_steps:
                raise InputError(
                    f"there is no step {place.step} in epoch {place.epoch}: it has {plan.num_steps}"
                )
        except BaseException:
            self._plans.close()
            raise
        return plan

    def _mend(self, buffers: Buffers, k: int) -> None:
        """Replace the bad clips of a batch, k of each movie, in the order of their slots."""
        for slot in sorted(buffers.problems):
            first = slot // k * k
            others = np.delete(buffers.rows[first : first + k], slot - first)
            candidates = replacements(
                self._index, int(buffers.rows[slot]), others, self._seed, buffers.epoch
            )
            for row in candidates:
                self._bad.count(buffers, slot)
                if self._filler.load_one(buffers, slot, row) is None:
                    break
            else:
                raise FormatError(
                    f"{buffers.problems[slot].message}; its movie has no readable clip to put in "
                    "its place; lower clips_per_movie, or leave the movie out with where = "
                    f"\"movie_id != '{buffers.clips[slot].movie_id}'\""
                )


def read_all(
    dataset: Dataset, rows: Sequence[int], config: StreamConfig, batch_size: int = 64
) -> Iterator[Batch]:
    """Rows of the table of clips in the given order, cropped in the middle, for evaluation.

    Clips that cannot be read are left out: counted, logged and limited as in `ClipStream`. The
    batches have epoch 0, count their steps, and number the movies of the whole dataset; each movie
    is its own group.
    """
    counters = Counters()
    bad = _BadClips(dataset.storage.uri, config, counters)
    movie = movie_numbers(dataset.clips)
    parts = _parts(np.asarray(rows, dtype=np.int64), batch_size)
    # Threads: a short reading is over before a process has started.
    config = dataclasses.replace(config, crop="center", num_processes=0)
    filler = Filler(dataset, config, counters, batch_size)
    queue: deque[Pending] = deque()
    step = 0
    try:
        while parts or queue:
            while parts and len(queue) <= config.prefetch_batches:
                queue.append(filler.submit(parts.popleft()[None], seed=0, epoch=0))
            buffers = queue.popleft().wait()
            for slot in sorted(buffers.problems):
                bad.count(buffers, slot)
            buffers = buffers.without_problems()
            counters.add(num_clips=len(buffers.rows))
            if len(buffers.rows):
                number = movie[buffers.rows]
                yield _batch(buffers, number, number, 0, step)
                step += 1
    finally:
        filler.close()


@dataclass(frozen=True)
class _Place:
    """A step: within its epoch, and of the run."""

    epoch: int
    step: int
    steps_done: int


def _next_place(policy: BatchPolicy, epoch: int, step: int, steps_done: int) -> _Place:
    """The place itself, or the next epoch's begin when the schedule ends the epoch there."""
    if step and policy.changes_at(steps_done):
        return _Place(epoch + 1, 0, steps_done)
    return _Place(epoch, step, steps_done)


class _BadClips:
    """Counts and logs bad clips, and ends the run when there are too many."""

    def __init__(self, uri: str, config: StreamConfig, counters: Counters) -> None:
        self._uri, self._max_fraction, self._counters = uri, config.max_bad_fraction, counters

    def count(self, buffers: Buffers, slot: int) -> None:
        """Count the problem of a slot. Raises `FormatError` above the rate."""
        problem = buffers.problems[slot]
        number = self._counters.add_bad(problem.reason)
        if number % LOG_EVERY == 1:
            _log.warning("bad clip %d (%s): %s", number, problem.reason, problem.message)
        self._counters.check_bad(self._max_fraction, self._uri, problem.message)


def _batch(
    buffers: Buffers, group: NDArray[np.int32], movie: NDArray[np.int32], epoch: int, step: int
) -> Batch:
    times = [(clip.shot_id, clip.start_ns) for clip in buffers.clips]
    shot, start_ns = torch.tensor(times, dtype=torch.int64).T
    return Batch(
        frames=buffers.frames,
        logmel=buffers.logmel,
        clip=torch.from_numpy(buffers.rows),
        group=torch.from_numpy(group.astype(np.int64)),
        movie=torch.from_numpy(movie.astype(np.int64)),
        shot=shot,
        start_ns=start_ns,
        epoch=epoch,
        step=step,
    )


def _parts(rows: NDArray[np.int64], size: int) -> deque[NDArray[np.int64]]:
    return deque(rows[first : first + size] for first in range(0, len(rows), size))
