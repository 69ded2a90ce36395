"""The Ray tasks: each runs one step of `pipeline.movie.steps` within its limits, source open.

Ray itself tries nothing again (`max_retries=0`): the engine does, because it counts the tries,
waits between them and gives more memory to a task that died for lack of it.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray import exceptions as ray_errors
from ray.exceptions import RayError, RayTaskError

from pipeline.audio import MovieAudio
from pipeline.config import RunConfig
from pipeline.engine.cluster import first_line
from pipeline.errors import DiskFullError, KilledError, LostError, MovieError, OutOfMemoryError
from pipeline.ffmpeg import reaper as watchdog
from pipeline.movie import Spool, steps
from pipeline.plan import MoviePlan, Segment
from pipeline.sources import Movie, Readable, delete_copy, open_source, require_unchanged
from pipeline.video import VideoSegment
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

_MAX_ERROR = 4000
#: CPU seconds of this worker when its task began; a worker runs one task at a time.
_cpu_before = 0.0
#: How long a part may take to come from another node or from disk; Ray itself gives it 10 minutes.
_FETCH_SECONDS = 60.0


@dataclass(frozen=True)
class Done:
    """What a task gives back beside its bytes."""

    value: Any
    """MoviePlan, MovieAudio, VideoSegment or MovieRow."""
    node: str
    """Id of the Ray node that it ran on."""
    peak_rss_bytes: int
    """Of the worker process, so far."""
    cpu_seconds: float
    """Of the task in its worker, and of the programs that it ran."""


@dataclass(frozen=True)
class Order:
    """What every task is told."""

    config: RunConfig
    memory_factor: int = 1
    by_range: bool = False
    """How a remote source is read; see `access`."""

    @contextlib.contextmanager
    def carried_out(self, movie: Movie, source_fingerprint: str) -> Iterator[Readable]:
        """Limits applied, source at hand, errors of the machine as classes of ours."""
        bounds = self.config.limits.with_memory(self.memory_factor)
        with (
            _translated(movie),
            open_source(
                movie,
                source_fingerprint,
                by_range=self.by_range,
                stage_gib=self.config.stage_gib,
                limits=bounds,
            ) as source,
        ):
            yield source


@ray.remote(num_cpus=1, max_retries=0)
def prepare(movie: Movie, fingerprint: str, recipe: Recipe, order: Order) -> Done:
    """Look into a movie; gives its `MoviePlan`."""
    with order.carried_out(movie, fingerprint) as source:
        seconds = order.config.segment_seconds
        return _done(steps.prepare(movie, source, recipe, seconds))


@ray.remote(num_cpus=1, max_retries=0, num_returns=2)
def segment(plan: MoviePlan, part: Segment, order: Order) -> Any:
    """Decode a segment; gives its `VideoSegment`, and its bytes as a second object."""
    with order.carried_out(plan.movie, plan.source_fingerprint) as source:
        found, data = steps.run_segment(plan, part, source)
        return _done(found), data


@ray.remote(num_cpus=1, max_retries=0)
def audio(plan: MoviePlan, segments: list[VideoSegment], order: Order) -> Any:
    """Decode the audio; gives the parts of its bytes as objects, then its `MovieAudio`.

    As a generator it hands each part to the object store at once, instead of holding all.
    """
    with order.carried_out(plan.movie, plan.source_fingerprint) as source:
        found = yield from steps.run_audio_parts(plan, source, segments)
        yield _done(found)


@ray.remote(num_cpus=1, max_retries=0)
def write(
    plan: MoviePlan,
    storage: Storage,
    effort: steps.Effort,
    sound: MovieAudio,
    segments: list[VideoSegment],
    parts: dict[int, list[Any]],
) -> Done:
    """Write shards and commit record; gives the `MovieRow`.

    `parts` are references to the bytes of the sound (`SOUND`) and of each segment. As references
    they are fetched one by one: as arguments all would have to be in memory at the same time.
    """
    with _translated(plan.movie), _temporary_files(), Spool() as spool:
        require_unchanged(plan.movie)
        _fill(spool, plan.movie, parts)
        return _done(steps.write_movie(plan, storage, effort, sound, segments, spool))


@ray.remote(num_cpus=0, max_retries=0)
def unstage(fingerprint: str) -> None:
    """Delete a node's copy of a source."""
    delete_copy(fingerprint)


def failure(movie: Movie, error: Exception) -> Exception:
    """What a failed task's exception means: an error of ours, whatever Ray made of it."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        error = cause if isinstance(cause, Exception) else KilledError(first_line(error))
    if isinstance(error, ray_errors.OutOfMemoryError):
        return OutOfMemoryError(
            f"{movie.name}: Ray ended a task to save its node's memory: {first_line(error)}"
        )
    if isinstance(error, ray_errors.WorkerCrashedError):
        return KilledError(f"{movie.name}: a worker process was killed; is memory short?")
    if isinstance(error, RayError):
        return LostError(f"{movie.name}: a node or its data went away: {first_line(error)}")
    return error


def unexpected(movie: Movie, error: Exception) -> MovieError:
    """A bug of ours must not stop the run; it is listed under its own class."""
    return MovieError(f"{movie.name}: unexpected {type(error).__name__}: {first_line(error)}")


def bounded(message: str) -> str:
    """An error message of a length that an index can hold."""
    return message if len(message) <= _MAX_ERROR else message[: _MAX_ERROR - 1] + "…"


def _fill(spool: Spool, movie: Movie, parts: dict[int, list[Any]]) -> None:
    """Copy the parts from the object store; `LostError` names all that went away."""
    lost = []
    for name, refs in parts.items():
        try:
            spool.add(name, (cast(Any, ray).get(ref, timeout=_FETCH_SECONDS) for ref in refs))
        except (ray_errors.ObjectLostError, ray_errors.GetTimeoutError):
            lost.append(name)
    if lost:
        message = f"{movie.name}: decoded clips went away with a node: {len(lost)} of {len(parts)}"
        raise LostError(message, tuple(lost))


@contextlib.contextmanager
def _translated(movie: Movie) -> Iterator[None]:
    global _cpu_before
    _cpu_before = _cpu_seconds()
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(f"{movie.name}: the worker has no memory left") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{movie.name}: the node's disk is full: {error}") from error
        raise


@contextlib.contextmanager
def _temporary_files() -> Iterator[None]:
    """Have shards built where a killed worker leaves nothing."""
    before = tempfile.tempdir
    with watchdog.own_folder() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def _done(value: MoviePlan | MovieRow | Any) -> Done:
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    node: str = cast(Any, ray).get_runtime_context().get_node_id()
    return Done(value, node, peak, _cpu_seconds() - _cpu_before)


def _cpu_seconds() -> float:
    """Of this process and of all children that have ended and were waited for, as ffmpegs are."""
    # The process's own clock is exact: a short film is written in less than a tick of the others.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
