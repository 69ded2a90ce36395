"""Runs the corpus on Ray: which movie when, what may fail, when a movie counts.

    queue of movies (largest first)
      -> prepare                       one task a movie
      -> segment, segment, ..., audio  the units; each is tried again on its own
      -> write                         shards, then the commit record

Tasks may run more than once; the result is the same bytes, and only the commit record makes it
count. The driver keeps a bounded number of tasks in flight and starts a new movie only when the
open ones leave workers idle, so open movies, and with them memory, do not grow with the corpus.
"""

from __future__ import annotations

import heapq
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline import movie as steps
from pipeline import source
from pipeline.corpus import Movie
from pipeline.errors import AllDroppedError, KilledError, MediaError, TooShortError
from pipeline.plan import MoviePlan, Segment
from shards_spec.errors import AccessDeniedError, InputError, StorageError
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow, Status
from shards_spec.storage import Storage
from shards_spec.writer import write_commit

#: Tasks in flight per CPU: enough that no worker waits for the driver.
IN_FLIGHT_PER_CPU = 2

UnitKind = Literal["prepare", "segment", "audio", "write"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run uses its machines. Nothing here changes a byte of the result."""

    workers: int = 0
    """CPUs of a local run; 0 for all of this machine's. Ignored with `address`."""
    address: str = ""
    """Ray cluster to run on: `auto`, `ray://host:port` or `host:port`; empty for a local run."""
    segment_seconds: float = 300.0
    """Film seconds that one task decodes."""
    max_attempts: int = 3
    """Tries per task when it fails for a transient reason."""
    retry_seconds: float = 2.0
    """Wait before the second try; doubled for each further one."""

    def __post_init__(self) -> None:
        if self.workers < 0 or self.max_attempts < 1 or self.retry_seconds < 0:
            raise InputError(
                "workers and retry_seconds must not be negative, max_attempts at least 1"
            )
        if self.segment_seconds <= 0:
            raise InputError(f"{self.segment_seconds = }: must be positive")


@dataclass(frozen=True)
class Event:
    """What happened to a movie; the progress display and the run record live on these."""

    kind: Literal["planned", "decoded", "retry", "finished"]
    movie_id: str
    film_seconds: float = 0.0
    """Planned or decoded now."""
    row: MovieRow | None = None
    """With `finished`."""
    message: str = ""
    """With `retry`."""


@dataclass
class _Unit:
    """One task of a movie: it is queued, runs, and may run again."""

    kind: UnitKind
    job: _Job
    segment: Segment | None = None
    attempts: int = 0
    result: Any = None
    payload: Any = None
    """Reference to the unit's bytes in the object store."""


@dataclass
class _Job:
    """A movie in work."""

    movie: Movie
    fingerprint: str
    started: float
    plan: MoviePlan | None = None
    plan_ref: Any = None
    units: list[_Unit] = field(default_factory=list)
    num_open: int = 0
    cpu_seconds: float = 0.0
    finished: bool = False

    @property
    def attempts(self) -> int:
        return max((unit.attempts for unit in self.units), default=1)


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
        self._ready: deque[_Unit] = deque()
        self._later: list[tuple[float, int, _Unit]] = []
        self._running: dict[Any, _Unit] = {}
        self._open: list[_Job] = []
        self._ticket = 0

    def run(self, movies: Sequence[tuple[Movie, str]]) -> Iterator[Event | None]:
        """Process (movie, source fingerprint) pairs; yields None while nothing happens.

        Raises `StorageError` when the output refuses: that is no fault of a movie.
        """
        waiting = deque(sorted(movies, key=lambda pair: -pair[0].num_bytes))
        while waiting or self._open:
            self._wake()
            limit = IN_FLIGHT_PER_CPU * num_cpus()
            while waiting and len(self._ready) + len(self._running) < limit:
                self._start(*waiting.popleft())
            while self._ready and len(self._running) < limit:
                self._submit(self._ready.popleft())
            done, _ = ray.wait(list(self._running), timeout=0.25) if self._running else ([], [])
            if not self._running and not self._ready:
                time.sleep(0.05)
            if not done:
                yield None
            for ref in done:
                yield from self._collect(ref)

    def _start(self, movie: Movie, fingerprint: str) -> None:
        job = _Job(movie, fingerprint, self._clock())
        self._open.append(job)
        self._add(job, _Unit("prepare", job))

    def _add(self, job: _Job, unit: _Unit) -> None:
        job.units.append(unit)
        job.num_open += 1
        self._ready.append(unit)

    def _submit(self, unit: _Unit) -> None:
        unit.attempts += 1
        job = unit.job
        if unit.kind == "prepare":
            ref = _prepare.remote(
                job.movie, job.fingerprint, self._recipe, self._config.segment_seconds
            )
        elif unit.kind == "segment":
            ref, unit.payload = cast(Any, _segment).remote(job.plan_ref, unit.segment)
        elif unit.kind == "audio":
            ref, unit.payload = cast(Any, _audio).remote(job.plan_ref)
        else:
            ref = self._submit_write(job)
        self._running[ref] = unit

    def _submit_write(self, job: _Job) -> Any:
        audio = next(unit for unit in job.units if unit.kind == "audio")
        segments = [unit for unit in job.units if unit.kind == "segment"]
        return _write.remote(
            job.plan_ref,
            self._storage,
            self._effort(job),
            audio.result,
            [unit.result for unit in segments],
            audio.payload,
            *[unit.payload for unit in segments],
        )

    def _collect(self, ref: Any) -> Iterator[Event]:
        """Take in one finished task."""
        unit = self._running.pop(ref)
        if unit.job.finished:
            return
        try:
            unit.result = ray.get(ref)
        except RayTaskError as error:
            yield from self._failed(unit, _cause(error))
        except RayError as error:
            lost = KilledError(f"{unit.job.movie.name}: a worker was lost: {_first_line(error)}")
            yield from self._failed(unit, lost)
        else:
            unit.job.num_open -= 1
            yield from self._succeeded(unit)

    def _succeeded(self, unit: _Unit) -> Iterator[Event]:
        job = unit.job
        if unit.kind == "prepare":
            plan: MoviePlan = unit.result
            job.plan, job.plan_ref = plan, ray.put(plan)
            self._add(job, _Unit("audio", job))
            for segment in plan.segments:
                self._add(job, _Unit("segment", job, segment))
            yield Event("planned", job.movie.movie_id, steps.film_seconds(plan))
        elif unit.kind == "write":
            yield self._finish(job, unit.result)
        else:
            job.cpu_seconds += unit.result.cpu_seconds
            if unit.segment is not None and job.plan is not None:
                seconds = job.plan.segment_seconds(unit.segment)
                yield Event("decoded", job.movie.movie_id, seconds)
            if job.num_open == 0:
                self._add(job, _Unit("write", job))

    def _failed(self, unit: _Unit, error: Exception) -> Iterator[Event]:
        """Try again later, give the movie up, or stop the run when the output is at fault."""
        job = unit.job
        if isinstance(error, (AccessDeniedError, InputError)):
            raise error
        transient = isinstance(error, StorageError) or getattr(error, "kind", "") == "transient"
        if transient and unit.attempts < self._config.max_attempts:
            wait = self._config.retry_seconds * 2 ** (unit.attempts - 1)
            self._ticket += 1
            heapq.heappush(self._later, (self._clock() + wait, self._ticket, unit))
            yield Event("retry", job.movie.movie_id, message=str(error))
            return
        if isinstance(error, StorageError):
            raise error
        if not isinstance(error, MediaError):
            error = _unexpected(job.movie, error)
        row = self._failure_row(job, error, transient)
        write_commit(self._storage, row, [])
        yield self._finish(job, row)

    def _finish(self, job: _Job, row: MovieRow) -> Event:
        job.finished = True
        self._open.remove(job)
        self._ready = deque(unit for unit in self._ready if unit.job is not job)
        self._later = [entry for entry in self._later if entry[2].job is not job]
        heapq.heapify(self._later)
        for ref, unit in self._running.items():
            if unit.job is job:
                ray.cancel(ref, force=False)
        # References dropped here free the movie's bytes in the object store.
        job.units.clear()
        job.plan_ref = None
        if not source.is_local(job.movie):
            source.unstage(job.fingerprint)
        return Event("finished", job.movie.movie_id, row=row)

    def _failure_row(self, job: _Job, error: MediaError, transient: bool) -> MovieRow:
        status: Status = "failed" if transient else "quarantined"
        if isinstance(error, (TooShortError, AllDroppedError)):
            status = "skipped"
        effort = self._effort(job)
        return replace(
            steps.bare_row(job.movie, job.fingerprint, self._recipe, status, effort),
            error_class=error.error_class,
            error=str(error),
            duration_ns=job.plan.probe.duration_ns if job.plan else 0,
        )

    def _effort(self, job: _Job) -> steps.Effort:
        return steps.Effort(job.attempts, job.cpu_seconds, self._clock() - job.started)

    def _wake(self) -> None:
        """Move units whose wait is over back to the queue."""
        while self._later and self._later[0][0] <= self._clock():
            self._ready.appendleft(heapq.heappop(self._later)[2])


def start_ray(config: RunConfig) -> bool:
    """Connect to a cluster, or start Ray on this machine; a Ray that is there already is used.

    Returns whether Ray was started here. Raises `InputError` when that fails.
    """
    if ray.is_initialized():
        return False
    _require_reachable(config.address)
    # Ray gives its node 30 s to come up; a busy laptop may need longer.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if config.address:
        options["address"] = config.address
    else:
        options |= {"num_cpus": config.workers or None, "include_dashboard": False}
    try:
        ray.init(**options)
    except Exception as error:
        where = f"at {config.address!r}" if config.address else "on this machine"
        raise InputError(f"cannot start Ray {where}: {_first_line(error)}") from error
    return True


def _require_reachable(address: str) -> None:
    """Raise `InputError` when nothing answers at host:port: Ray itself would wait five minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise InputError(
            f"cannot start Ray at {address!r}: {error.strerror or error}; is the cluster up?"
        ) from error


def stop_ray() -> None:
    """Disconnect, and stop a local Ray with all its processes."""
    if ray.is_initialized():
        ray.shutdown()


def num_cpus() -> int:
    """CPUs of the cluster as it is now; at least 1."""
    resources: dict[str, float] = cast(Any, ray).cluster_resources()
    return max(1, int(resources.get("CPU", 1)))


@ray.remote(num_cpus=1)
def _prepare(movie: Movie, fingerprint: str, recipe: Recipe, seconds: float) -> MoviePlan:
    return steps.prepare(movie, fingerprint, recipe, seconds)


@ray.remote(num_cpus=1, num_returns=2)
def _segment(plan: MoviePlan, segment: Segment) -> Any:
    return steps.run_segment(plan, segment)


@ray.remote(num_cpus=1, num_returns=2)
def _audio(plan: MoviePlan) -> Any:
    return steps.run_audio(plan)


@ray.remote(num_cpus=1)
def _write(
    plan: MoviePlan,
    storage: Storage,
    effort: steps.Effort,
    audio: Any,
    segments: list[Any],
    sounds: Any,
    *strips: Any,
) -> MovieRow:
    pairs = list(zip(segments, strips, strict=True))
    return steps.write_movie(plan, storage, effort, (audio, sounds), pairs)


def _cause(error: RayTaskError) -> Exception:
    """The exception that the task raised."""
    cause = error.cause
    return cause if isinstance(cause, Exception) else KilledError(_first_line(error))


def _unexpected(movie: Movie, error: Exception) -> MediaError:
    """A bug of ours must not stop the run; it is listed under its own class."""
    return MediaError(f"{movie.name}: unexpected {type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
