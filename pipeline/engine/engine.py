"""Runs the corpus on Ray: submits what the scheduler names, takes in what comes back.

    queue of movies (largest first)
      -> prepare                       one task a movie
      -> segment, segment, ..., audio  the units; each is tried again on its own; with clips that
                                   keep to shots the sound waits for the segments
      -> write                         shards, then the commit record

Tasks may run more than once; the result is the same bytes, and only the commit record makes it
count. Who goes next is `scheduler`'s word, what may fail is `health`'s, what a task does `tasks`'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.audio import num_audio_parts
from pipeline.config import RunConfig
from pipeline.engine import cluster, tasks
from pipeline.engine.health import Health
from pipeline.engine.jobs import Event, Job, Unit
from pipeline.engine.scheduler import Scheduler, final_status, note_failure, retry_wait
from pipeline.errors import LostError, MovieError, TimedOutError
from pipeline.limits import GIB
from pipeline.movie import SOUND, steps
from pipeline.redaction import redacted
from pipeline.sources import Movie, is_by_range, is_local
from shards_spec import layout
from shards_spec.commits import write_commit
from shards_spec.errors import AccessDeniedError, InputError, ReelshardsError, StorageError
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage


class DrainedError(ReelshardsError):
    """The run was asked to stop and did; what is committed stays."""


class Engine:
    """Drives one run. `run` yields events until every movie is done, skipped or given up."""

    def __init__(
        self,
        storage: Storage,
        recipe: Recipe,
        config: RunConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._recipe = recipe
        self._config = config
        self._clock = clock
        self._scheduler = Scheduler([])
        self._health = Health(config.stop_after, config.stop_share)
        self._running: dict[Any, Unit] = {}
        self._drain_until: float | None = None

    @property
    def num_queued(self) -> int:
        """Tasks that run or could run."""
        return len(self._running) + self._scheduler.num_queued

    def drain(self) -> None:
        """Take in no new movie, and end after `drain_seconds` at the latest. Signal safe."""
        if self._drain_until is None:
            self._drain_until = self._clock() + self._config.drain_seconds

    def run(self, movies: Sequence[tuple[Movie, str]]) -> Iterator[Event | None]:
        """Process (movie, source fingerprint) pairs; yields None while nothing happens.

        Raises:
            StorageError: the output refuses; that is no fault of a movie.
            RunStoppedError: most movies fail for one reason of the machinery.
            DrainedError: `drain` was called, and movies are left.
        """
        self._scheduler = Scheduler(movies)
        num_left = 0
        while not self._scheduler.is_empty:
            if self._drain_until is not None:
                num_left += self._scheduler.stop_admitting()
                if self._clock() > self._drain_until:
                    break
            now, cpus = self._clock(), cluster.num_cpus()
            for unit in self._scheduler.next_units(now, cpus, len(self._running)):
                yield from self._submit(unit)
            done, _ = ray.wait(list(self._running), timeout=0.25) if self._running else ([], [])
            if not self._running:
                time.sleep(0.05)
            if not done:
                yield None
            for ref in done:
                yield from self._collect(ref)
            yield from self._stop_overdue()
        if num_left or self._scheduler.open:
            raise self._drained(num_left)

    def _submit(self, unit: Unit) -> Iterator[Event]:
        unit.attempts += 1
        job = unit.job
        by_range = is_by_range(
            job.movie, self._config.sources, self._config.stage_gib, cluster.num_nodes()
        )
        order = tasks.Order(self._config, unit.memory_factor, by_range)
        options: dict[str, Any] = {"name": f"{job.movie.movie_id} {unit.name}"}
        memory = int(self._config.task_memory_gib * GIB * unit.memory_factor)
        if memory:
            options["memory"] = min(memory, cluster.largest_memory())
        if unit.kind == "prepare":
            yield Event("started", job.movie.movie_id)
            task = cast(Any, tasks.prepare).options(**options)
            ref = task.remote(job.movie, job.fingerprint, self._recipe, order)
        elif unit.kind == "segment":
            task = cast(Any, tasks.segment).options(**options)
            ref, *unit.payload = task.remote(job.plan_ref, unit.segment, order)
        elif unit.kind == "audio":
            assert job.plan is not None
            task = cast(Any, tasks.audio).options(
                num_returns=num_audio_parts(job.plan) + 1, **options
            )
            *unit.payload, ref = task.remote(job.plan_ref, _results(job, "segment"), order)
        else:
            ref = self._submit_write(job, cast(Any, tasks.write).options(**options))
        self._running[ref] = unit

    def _submit_write(self, job: Job, task: Any) -> Any:
        units = {unit.part: unit for unit in job.units if unit.part is not None}
        audio = units[SOUND]
        return task.remote(
            job.plan_ref,
            self._storage,
            self._effort(job),
            audio.result,
            _results(job, "segment"),
            {part: unit.payload for part, unit in units.items()},
        )

    def _collect(self, ref: Any) -> Iterator[Event]:
        """Take in one finished task."""
        unit = self._running.pop(ref)
        if unit.job.finished:
            return
        try:
            done: tasks.Done = ray.get(ref)
        except RayError as error:
            yield from self._failed(unit, tasks.failure(unit.job.movie, error))
        else:
            unit.job.nodes.add(done.node)
            yield from self._succeeded(unit, done)

    def _succeeded(self, unit: Unit, done: tasks.Done) -> Iterator[Event]:
        job = unit.job
        job.num_open -= 1
        is_again = unit.result is not None
        unit.result = done.value
        if unit.kind == "prepare":
            job.plan, job.plan_ref = done.value, ray.put(done.value)
            if self._recipe.clips == "uniform":
                self._scheduler.push(job.add("audio"))
            for part in done.value.segments:
                self._scheduler.push(job.add("segment", part))
            found = Event("planned", job.movie.movie_id, done.value.seconds)
            yield _of_task(found, unit, done)
        elif unit.kind == "write":
            yield _of_task(self._finish(job, done.value), unit, done)
            self._health.note_end(job.movie.movie_id, None)
        else:
            job.cpu_seconds += done.value.cpu_seconds
            if not is_again:
                yield _of_task(self._decoded(unit, done), unit, done)
            if job.num_open == 0:
                has_sound = any(other.kind == "audio" for other in job.units)
                self._scheduler.push(job.add("write" if has_sound else "audio"))

    def _decoded(self, unit: Unit, done: tasks.Done) -> Event:
        job = unit.job
        seconds = job.plan.segment_seconds(unit.segment) if job.plan and unit.segment else 0.0
        return Event(
            "decoded",
            job.movie.movie_id,
            seconds,
            cpu_seconds=done.value.cpu_seconds,
            peak_rss_bytes=done.peak_rss_bytes,
        )

    def _failed(self, unit: Unit, error: Exception) -> Iterator[Event]:
        """Try again later, give the movie up, or stop the run when it is at fault."""
        job = unit.job
        if isinstance(error, (AccessDeniedError, InputError)):
            raise error
        note_failure(unit, error)
        wait = retry_wait(unit, error, self._config.max_attempts, self._config.retry_seconds)
        if wait is not None:
            self._again(unit, error, self._clock() + wait)
            yield Event(
                "retry",
                job.movie.movie_id,
                message=redacted(str(error)),
                unit=unit.name,
                attempt=unit.attempts,
                error_class=getattr(error, "error_class", "storage"),
            )
            return
        if isinstance(error, StorageError):
            raise error
        if not isinstance(error, MovieError):
            error = tasks.unexpected(job.movie, error)
        yield self._give_up(job, error)

    def _again(self, unit: Unit, error: Exception, time: float) -> None:
        """Queue a unit once more; a write whose inputs went away waits for them."""
        gone = error.parts if isinstance(error, LostError) else ()
        lost = [part for part in unit.job.units if part.part in gone]
        if not lost:
            self._scheduler.push_later(unit, time)
            return
        unit.job.units.remove(unit)
        unit.job.num_open += len(lost) - 1
        for part in lost:
            part.losses += 1
            self._scheduler.push_later(part, time)

    def _give_up(self, job: Job, error: MovieError) -> Event:
        effort = self._effort(job)
        row = replace(
            steps.bare_row(job.movie, job.fingerprint, self._recipe, final_status(error), effort),
            error_class=error.error_class,
            error=tasks.bounded(redacted(str(error))),
            duration_ns=job.plan.probe.duration_ns if job.plan else 0,
        )
        stop_for = self._health.note_end(job.movie.movie_id, error)
        if stop_for:
            for movie_id in self._health.movies_of(stop_for):
                self._storage.delete(layout.commit_key(movie_id))
            raise self._health.stopped(stop_for, error)
        write_commit(self._storage, row, [])
        return self._finish(job, row)

    def _finish(self, job: Job, row: MovieRow) -> Event:
        self._scheduler.close(job)
        self._cancel(job)
        # References dropped here free the movie's bytes in the object store.
        job.units.clear()
        job.plan_ref = None
        if not is_local(job.movie):
            for node in job.nodes & cluster.live_nodes():
                where = NodeAffinitySchedulingStrategy(node, soft=False)
                cast(Any, tasks.unstage).options(scheduling_strategy=where).remote(job.fingerprint)
        return Event("finished", job.movie.movie_id, row=row)

    def _cancel(self, job: Job) -> None:
        for ref, unit in self._running.items():
            if unit.job is job:
                ray.cancel(ref, force=False)

    def _stop_overdue(self) -> Iterator[Event]:
        """Give up movies that take longer than they may."""
        limit = self._config.movie_hours * 3600
        for job in [j for j in self._scheduler.open if self._clock() - j.started > limit]:
            yield self._give_up(
                job,
                TimedOutError(
                    f"{job.movie.name}: not done after {self._config.movie_hours:g} hours, "
                    "see --movie-hours"
                ),
            )

    def _drained(self, num_left: int) -> DrainedError:
        for job in self._scheduler.open:
            self._cancel(job)
        return DrainedError(
            f"stopped as asked: {len(self._scheduler.open)} open movies given up, {num_left} not "
            "begun; all others are committed. Run the same command again to go on"
        )

    def _effort(self, job: Job) -> steps.Effort:
        return steps.Effort(job.attempts, job.cpu_seconds, self._clock() - job.started)


def _results(job: Job, kind: str) -> list[Any]:
    """What the units of a kind gave, in the order of the movie."""
    return [unit.result for unit in job.units if unit.kind == kind]


def _of_task(event: Event, unit: Unit, done: tasks.Done) -> Event:
    """The event with the task that it came from."""
    return replace(event, unit=unit.name, attempt=unit.attempts, task_cpu_seconds=done.cpu_seconds)
