"""The stream: batches of a plan, in the plan's order, without end, read ahead from storage.

Guarantees; any deviation is a bug:

- Equal dataset, policy, seed, epoch and step give equal batches, regardless of the number of
  workers, threads and ranks, of where the stream started, and of what finished first.
- A clip that cannot be read or decoded is replaced by another clip of its movie (the choice depends
  on seed, epoch and clip only), counted by reason, and logged the first and every 1000th time;
  above `max_bad_fraction`, the stream raises `FormatError`.
- Reads that fail are retried until the deadline; then the stream raises `StorageError`.
- A loader worker that dies is reported, with how it ended, in a `LoaderDiedError`.
- Whatever is raised, including KeyboardInterrupt, threads and workers end before it leaves the
  stream. After `close` or an error, a stream cannot be used any more. When the training process
  itself is killed, its workers end and leave no memory behind.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, InputError, PolicyError
from trainer.data.fetch import ClipCache
from trainer.data.fetch.counters import Counters, StreamStats
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex, PlanLookahead, PlanState, substitute_rows
from trainer.data.plan.epoch_plan import BatchPlan, plan_phases
from trainer.data.plan.forecast.guards import guarded_share
from trainer.data.plan.forecast.shares import share_lines
from trainer.data.stream.bad_clips import BadClips
from trainer.data.stream.batch import Batch
from trainer.data.stream.batch_filler import BatchBuffers, BatchFiller, BatchFuture

_log = logging.getLogger(__name__)


class ClipStream:
    """An endless iterator over one rank's batches from (epoch, step) on; a context manager."""

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
        """Plan the epoch; reading starts with the first batch that is requested.

        Raises:
            PolicyError: the dataset cannot serve the policy, or `world_size` does not divide m.
            InputError: a filter on unknown columns, frames smaller than `frame_size`, no such step,
                or a cache folder that cannot be used.
        """
        policy.check_world_size(world_size)
        config = config.on_this_machine()
        config.check(dataset.recipe)
        if config.cache_dir:
            # Checked here, because a worker could only report it with a traceback.
            ClipCache(Path(config.cache_dir), config.cache_bytes)
        self._index = index = ClipIndex.from_dataset(dataset, policy)
        if rank == 0:
            _warn_of_left_out(index)
        self._dataset, self._policy, self._seed = dataset, policy, seed
        self._rank, self._world_size = rank, world_size
        self._plans = PlanLookahead(index, seed)
        self._next = self._submitted = position = _on_schedule(policy, epoch, step, steps_done)
        self._first_plan = self._check_plans(position)
        self._counters = Counters()
        self._bad = BadClips(dataset.storage.uri, config.max_bad_fraction, self._counters)
        num_clips = max(phase.batch_size for phase in policy.phases().values())
        max_slots = num_clips * policy.joined_clips // world_size
        self._filler = BatchFiller(dataset, config, self._counters, max_slots)
        batch_bytes = self._filler.batch_bytes(max_slots)
        self._depth = max(1, min(config.prefetch_batches, config.prefetch_bytes // batch_bytes))
        self._queue: deque[tuple[_StreamPosition, int, BatchFuture]] = deque()
        self._closed = False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise RuntimeError("the stream is closed; create a new one to continue")
        begin = time.perf_counter()
        try:
            self._submit_until(1)
            position, k, future = self._queue.popleft()
            self._submit_until(self._depth)
            buffers = future.wait()
            self._replace_bad_clips(buffers, k)
        except BaseException:
            self.close()
            raise
        self._next = position.following()
        self._counters.wait_seconds += time.perf_counter() - begin
        self._counters.add(num_batches=1, num_clips=len(buffers.rows))
        eligible = self._index.positions(buffers.rows[:: self._policy.joined_clips])
        return buffers.to_batch(
            self._index.group[eligible], self._index.movie[eligible], position.step
        )

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
        """Stop all threads and workers; batches that were returned stay valid."""
        self._closed = True
        self._queue.clear()
        self._filler.close()
        self._plans.close()

    @property
    def num_steps_per_epoch(self) -> int:
        """Steps of the epoch that the stream started in.

        Other epochs may differ by a few when clips are left out for `min_gap_seconds`.
        """
        return self._first_plan.num_steps

    @property
    def dataset(self) -> Dataset:
        """What the batches are from; `Batch.clip` counts the rows of its `clips`."""
        return self._dataset

    def shares(self) -> list[str]:
        """A line for each of several datasets: its share of a batch now; none for a single one."""
        return share_lines(self._index, self._policy.at_step(self._next.steps_done))

    def state(self) -> PlanState:
        """Position of the next batch; a stream created with its epoch and step continues there."""
        return PlanState(
            epoch=self._next.epoch,
            step=self._next.step,
            steps_done=self._next.steps_done,
            seed=self._seed,
            index_fingerprint=self._index.fingerprint,
            policy=self._policy,
        )

    def stats(self) -> StreamStats:
        """Totals so far."""
        return self._counters.snapshot(sum(future.ready for _, _, future in self._queue))

    def guarded_share(self, guard_seconds: float, *, guard_shots: bool) -> float:
        """Share of within-movie negatives that these guards of the loss remove, [0, 1].

        Raises `PolicyError`, and closes the stream, when they remove every negative of a batch.
        """
        try:
            return guarded_share(
                self._index,
                self._dataset.clips,
                self._seed,
                guard_seconds=guard_seconds,
                guard_shots=guard_shots,
            )
        except PolicyError:
            self.close()
            raise

    def _submit_until(self, depth: int) -> None:
        """Submit batches until `depth` of them are in progress."""
        while len(self._queue) < depth:
            position = self._submitted
            policy = self._policy.at_step(position.steps_done)
            plan = self._plans.get(position.epoch, policy)
            if position.step >= plan.num_steps:
                self._submitted = _StreamPosition(position.epoch + 1, 0, position.steps_done)
                continue
            rows = plan.for_rank(position.step, self._rank, self._world_size)
            width = policy.joined_clips
            joined = self._index.joined_rows(rows) if width > 1 else rows
            future = self._filler.submit(joined, self._seed, position.epoch, width)
            self._queue.append((position, policy.clips_per_group, future))
            self._submitted = _on_schedule(
                self._policy, position.epoch, position.step + 1, position.steps_done + 1
            )

    def _check_plans(self, position: _StreamPosition) -> BatchPlan:
        """The plan at a position, after checking that all later phases of the schedule work."""
        try:
            if self._policy.schedule:
                done = position.steps_done
                for _ in plan_phases(self._index, self._seed, position.epoch, after_step=done):
                    pass
            plan = self._plans.get(position.epoch, self._policy.at_step(position.steps_done))
            if not 0 <= position.step <= plan.num_steps:
                raise InputError(
                    f"there is no step {position.step} in epoch {position.epoch}: the epoch has "
                    f"{plan.num_steps} steps"
                )
        except BaseException:
            self._plans.close()
            raise
        return plan

    def _replace_bad_clips(self, buffers: BatchBuffers, k: int) -> None:
        """Replace the bad clips of a batch with k clips per movie, in the order of their slots.

        Of joined clips, all are replaced if one is bad.
        """
        width = self._policy.joined_clips
        starts = buffers.rows[::width].copy()
        for number in sorted({slot // width for slot in buffers.problems}):
            first = number // k * k
            others = np.delete(starts[first : first + k], number - first)
            slots = range(number * width, (number + 1) * width)
            bad = next(slot for slot in slots if slot in buffers.problems)
            row = int(starts[number])
            for substitute in substitute_rows(self._index, row, others, self._seed, buffers.epoch):
                self._bad.count(buffers.problems[bad])
                rows = self._index.joined_rows(np.array([substitute]))
                still_bad = self._filler.load_again(buffers, slots, rows)
                if still_bad is None:
                    starts[number] = substitute
                    break
                bad = still_bad
            else:
                raise FormatError(
                    f"{buffers.problems[bad].message}; no other clip of its movie can replace it; "
                    "lower clips_per_movie, or exclude the movie with where = "
                    f"\"movie_id != '{buffers.clips[bad].movie_id}'\""
                )


@dataclass(frozen=True)
class _StreamPosition:
    """A step: its number within its epoch and within the run."""

    epoch: int
    step: int
    steps_done: int

    def following(self) -> _StreamPosition:
        """The next position, without regard to the ends of epochs."""
        return _StreamPosition(self.epoch, self.step + 1, self.steps_done + 1)


def _on_schedule(policy: BatchPolicy, epoch: int, step: int, steps_done: int) -> _StreamPosition:
    """This position, or the start of the next epoch if the schedule ends the epoch here."""
    if step and policy.changes_at(steps_done):
        return _StreamPosition(epoch + 1, 0, steps_done)
    return _StreamPosition(epoch, step, steps_done)


def _warn_of_left_out(index: ClipIndex) -> None:
    if index.copies:
        _log.warning(
            "%d movies are left out because others have the same source, such as %s (as %s)",
            len(index.copies),
            index.copies[0].movie_id,
            index.copies[0].copy_of,
        )
    if index.repeats:
        _log.warning(
            "%d clips are left out because other movies show or play the same, such as %d of %s",
            sum(repeat.num_clips for repeat in index.repeats),
            index.repeats[0].num_clips,
            index.repeats[0].movie_id,
        )
