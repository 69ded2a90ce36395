"""Processes a corpus on Ray: submits what the scheduler selects and handles what comes back.

    queue of movies (largest first)
      -> prepare                       one task per movie
      -> segment, segment, ..., audio  each is retried on its own; with shot-aligned clips the audio
                                       waits for the segments
      -> write                         shards, then the commit record

Tasks may run more than once; the result is the same bytes, and only the commit record makes it
count. `scheduler` decides what runs next, `retries` what is attempted again, `failure_classes` the
status of a movie that failed, `health` when to stop the run, and `tasks` what each task does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.config import RunConfig
from pipeline.engine import tasks
from pipeline.engine.events import (
    AttemptFailed,
    Event,
    MovieFinished,
    MoviePlanned,
    MovieStarted,
    PartDecoded,
    TaskCost,
    ViewEvent,
)
from pipeline.engine.failure_classes import failure_class
from pipeline.engine.failure_commits import FailureCommits
from pipeline.engine.health import DrainedError, Health
from pipeline.engine.jobs import Assignment, Job, Unit, View
from pipeline.engine.on_ray import cluster
from pipeline.engine.on_ray.ray_failures import shortened, task_error, unexpected_error
from pipeline.engine.retries import count_attempt, retry_delay_seconds
from pipeline.engine.scheduler import Scheduler
from pipeline.engine.submission import Submission, decode_whole, put_plan
from pipeline.errors import LostError, MovieError, TimedOutError
from pipeline.movie.rows import Cost, bare_row, failed_row
from pipeline.plan.movie_plan import MoviePlan
from shards_spec.errors import (
    AccessDeniedError,
    InputError,
    StorageError,
)
from shards_spec.redaction import redacted
from shards_spec.schema import MovieRow

#: How long `ray.wait` blocks, and the pause when nothing runs.
_POLL_SECONDS, _IDLE_SECONDS = 0.25, 0.05


class Engine:
    """Drives one run. `run` yields events until every movie has ended."""

    def __init__(
        self,
        views: Sequence[View],
        config: RunConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`views` are the datasets to write; recipes of several agree in `language`, and are not
        `fast_decode`."""
        self._views = views
        self._config = config
        self._clock = clock
        self._scheduler = Scheduler([])
        self._submission = Submission(views, config)
        self._health = Health(config.stop_after, config.stop_fraction)
        self._running: dict[Any, list[Unit]] = {}
        self._failure_commits: list[FailureCommits] = []
        self._drain_until: float | None = None

    @property
    def num_queued(self) -> int:
        """Tasks that are running or could run."""
        return len(self._running) + self._scheduler.num_queued

    def drain(self) -> None:
        """Admit no further movies and end within `drain_seconds`. Safe in a signal handler."""
        if self._drain_until is None:
            self._drain_until = self._clock() + self._config.drain_seconds

    def run(self, assignments: Sequence[Assignment]) -> Iterator[ViewEvent | None]:
        """Process movies; yields (number of the view, event), or None while nothing happens.

        Raises:
            StorageError: the output cannot be written; this concerns all movies.
            RunStoppedError: most movies fail for one reason outside of them.
            DrainedError: `drain` was called and some movies are left.
        """
        self._scheduler = Scheduler(assignments)
        with_clips: list[set[str]] = [set() for _ in self._views]
        for item in assignments:
            if item.has_clips:
                with_clips[item.view].add(item.movie.movie_id)
        storages = [view.storage for view in self._views]
        self._failure_commits = list(map(FailureCommits, storages, with_clips))
        num_left = 0
        while not self._scheduler.is_empty:
            if self._drain_until is not None:
                num_left += self._scheduler.stop_admitting()
                if self._clock() > self._drain_until:
                    break
            yield from self._submit_next()
            yield from self._collect_done()
            yield from self._give_up_overdue()
        if num_left or self._scheduler.open:
            raise self._drained(num_left)

    def _submit_next(self) -> Iterator[ViewEvent]:
        now, cpus = self._clock(), cluster.num_cpus()
        for first in self._scheduler.next_units(now, cpus, len(self._running)):
            units = [first, *self._scheduler.take_twins(first)]
            for unit in units:
                unit.attempts += 1
                if unit.kind == "prepare":
                    yield unit.job.view, MovieStarted(unit.job.movie.movie_id)
            self._running[self._submission.submit(units, self._cost(first.job))] = units

    def _collect_done(self) -> Iterator[ViewEvent | None]:
        """Wait shortly for tasks to end and handle those that have; None when there are none."""
        if not self._running:
            time.sleep(_IDLE_SECONDS)
            yield None
            return
        done, _ = ray.wait(list(self._running), timeout=_POLL_SECONDS)
        if not done:
            yield None
        for ref in done:
            units = self._running.pop(ref)
            if any(not unit.job.finished for unit in units):
                yield from self._ended(units, ref)

    def _ended(self, units: Sequence[Unit], ref: Any) -> Iterator[ViewEvent]:
        """Handle the end of the task of a unit and its twins."""
        values: Sequence[tasks.TaskValue | Exception]
        result: tasks.TaskResult | None = None
        try:
            found: tasks.TaskResult = ray.get(ref)
        except RayError as error:
            values = [task_error(unit.job.movie, error) for unit in units]
        else:
            result, values = found, found.values
        for unit, value in zip(units, values, strict=True):
            if unit.job.finished:
                continue
            if result is not None:
                unit.job.nodes.add(result.node)
            if isinstance(value, Exception):
                events = self._failed(unit, value)
            else:
                assert result is not None
                cost = TaskCost(unit.name, unit.attempts, result.cpu_seconds / len(units))
                events = self._succeeded(unit, value, cost, result.peak_rss_bytes)
            for event in events:
                yield unit.job.view, event

    def _succeeded(
        self, unit: Unit, value: tasks.TaskValue, cost: TaskCost, peak_rss_bytes: int
    ) -> Iterator[Event]:
        job = unit.job
        job.num_open -= 1
        if isinstance(value, MoviePlan):
            job.plan = value
            put_plan(job)
            self._queue_decoding(job, value)
            yield MoviePlanned(job.movie.movie_id, value.seconds, cost)
        elif isinstance(value, MovieRow):
            self._close(job)
            self._health.note_end(job.movie.movie_id, None)
            yield MovieFinished(value, cost)
        else:
            unit.result = value
            job.cpu_seconds += value.cpu_seconds
            if not unit.is_counted:
                unit.is_counted = True
                seconds = job.plan.segment_seconds(unit.segment) if job.plan and unit.segment else 0
                yield PartDecoded(
                    movie_id=job.movie.movie_id,
                    movie_seconds=seconds,
                    ffmpeg_cpu_seconds=value.cpu_seconds,
                    peak_rss_bytes=peak_rss_bytes,
                    cost=cost,
                )
            for other in decode_whole(job):
                self._scheduler.push(other)
            if job.num_open == 0:
                has_audio = any(other.kind == "audio" for other in job.units)
                self._scheduler.push(job.add("write" if has_audio else "audio"))

    def _queue_decoding(self, job: Job, plan: MoviePlan) -> None:
        if plan.recipe.clips == "uniform":
            self._scheduler.push(job.add("audio"))
        for segment in plan.segments:
            self._scheduler.push(job.add("segment", segment))

    def _failed(self, unit: Unit, error: Exception) -> Iterator[Event]:
        """Retry later, give the movie up, or end the run when the output is the cause."""
        job = unit.job
        if isinstance(error, (AccessDeniedError, InputError)):
            raise error
        config = self._config
        attempt = unit.attempts
        delay = unit.outage_delay_seconds(error, self._clock(), config.store_patience_seconds)
        if delay is None:
            count_attempt(unit, error)
            delay = retry_delay_seconds(unit, error, config.max_attempts, config.retry_seconds)
        if delay is not None:
            self._requeue(unit, error, self._clock() + delay)
            yield AttemptFailed(
                movie_id=job.movie.movie_id,
                task=unit.name,
                attempt=attempt,
                error_class=failure_class(error).name,
                message=redacted(str(error)),
            )
            return
        if isinstance(error, StorageError):
            raise error
        if not isinstance(error, MovieError):
            error = unexpected_error(job.movie, error)
        yield self._give_up(job, error)

    def _requeue(self, unit: Unit, error: Exception, time: float) -> None:
        """Queue a unit again; a write whose inputs were lost waits until they exist again."""
        lost_parts = error.parts if isinstance(error, LostError) else ()
        lost_units = [other for other in unit.job.units if other.part in lost_parts]
        if not lost_units:
            self._scheduler.push_later(unit, time)
            return
        unit.job.units.remove(unit)
        unit.job.num_open += len(lost_units) - 1
        for lost in lost_units:
            lost.lost_attempts += 1
            self._scheduler.push_later(lost, time)

    def _give_up(self, job: Job, error: MovieError) -> Event:
        status = failure_class(error).status
        planned = {"probe": job.plan.probe, "crop": job.plan.crop} if job.plan else {}
        row = failed_row(
            bare_row(
                job.movie, job.fingerprint, self._views[job.view].recipe, status, self._cost(job)
            ),
            {**planned, **error.known},
            error.error_class,
            shortened(redacted(str(error))),
        )
        stop_for = self._health.note_end(job.movie.movie_id, error)
        if stop_for:
            for commits in self._failure_commits:
                commits.take_back(self._health.movies_of(stop_for))
            raise self._health.stopped(stop_for, error)
        self._failure_commits[job.view].write(row, failure_class(error).fault)
        self._close(job)
        return MovieFinished(row)

    def _close(self, job: Job) -> None:
        self._scheduler.close(job)
        self._cancel(job)
        # Dropping these references frees the movie's bytes in the object store.
        job.units.clear()
        job.plan_ref = None
        self._submission.release_source(job)

    def _cancel(self, job: Job) -> None:
        for ref, units in self._running.items():
            is_last = all(unit.job is job or unit.job.finished for unit in units)
            if is_last and any(unit.job is job for unit in units):
                ray.cancel(ref, force=False)

    def _give_up_overdue(self) -> Iterator[ViewEvent]:
        """Give up movies that have taken longer than `movie_hours`."""
        limit = self._config.movie_hours * 3600
        for job in [j for j in self._scheduler.open if self._clock() - j.started > limit]:
            error = TimedOutError(
                f"{job.movie.name}: not finished after {self._config.movie_hours:g} hours, "
                "see --movie-hours"
            )
            yield job.view, self._give_up(job, error)

    def _drained(self, num_left: int) -> DrainedError:
        for job in self._scheduler.open:
            self._cancel(job)
        return DrainedError(
            f"stopped on request: {len(self._scheduler.open)} movies in progress abandoned, "
            f"{num_left} not started; all others are committed. Run the same command again to "
            "resume"
        )

    def _cost(self, job: Job) -> Cost:
        return Cost(job.attempts, job.cpu_seconds, self._clock() - job.started)
