"""The Ray tasks: each runs one step of `pipeline.movie.steps` with its source open and limited.

Ray itself retries nothing (`max_retries=0`). The engine does, because it counts attempts, waits
between them, and gives more memory to a task that ran out of it.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray import exceptions as ray_errors

from pipeline.audio.clips import MovieAudio
from pipeline.config import RunConfig
from pipeline.errors import DiskFullError, LostError, MovieError, OutOfMemoryError
from pipeline.ffmpeg import reaper
from pipeline.movie import steps, write_movie
from pipeline.movie.rows import Cost
from pipeline.movie.spool import PartKey, Spool, open_spool
from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Segment
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.identity import require_unchanged
from pipeline.sources.staged import delete_copy
from pipeline.video.segment import VideoSegment
from shards_spec.process import peak_rss_bytes
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

#: How long a part may take to arrive from another node or from disk; Ray's own limit is 10 minutes.
_FETCH_SECONDS = 60.0


class CostMeter:
    """CPU time since its creation, of this process and of all children that have ended."""

    def __init__(self) -> None:
        self._before = _cpu_seconds()

    @property
    def cpu_seconds(self) -> float:
        """Since the meter was created."""
        return _cpu_seconds() - self._before


TaskValue = MoviePlan | MovieAudio | VideoSegment | MovieRow


@dataclass(frozen=True)
class TaskResult:
    """What a task returns in addition to its bytes."""

    values: Sequence[TaskValue | MovieError]
    """Of `prepare`, `audio`, `segment` and `write`, for each view that the task worked for; an
    error instead of what failed for one view only."""
    node: str
    """Id of the Ray node that it ran on."""
    peak_rss_bytes: int
    """Of the worker process so far."""
    cpu_seconds: float
    """Of the task in its worker, and of the programs that it ran."""


@dataclass(frozen=True)
class TaskOptions:
    """Settings of one attempt of a task."""

    config: RunConfig
    memory_factor: int = 1
    by_range: bool = False
    """Whether a remote source is read by range; see `is_by_range`."""

    @contextlib.contextmanager
    def opened(self, movie: Movie, source_fingerprint: str) -> Iterator[Readable]:
        """The movie's source, within the limits of this attempt."""
        with (
            _machine_errors(movie),
            open_source(
                movie,
                source_fingerprint,
                by_range=self.by_range,
                stage_gib=self.config.stage_gib,
                limits=self.config.limits.with_memory(self.memory_factor),
            ) as source,
        ):
            yield source


@ray.remote(num_cpus=1, max_retries=0)
def prepare(
    movies: Sequence[Movie], fingerprint: str, recipes: Sequence[Recipe], options: TaskOptions
) -> TaskResult:
    """Probe a movie; returns its `MoviePlan` for each view, or the error of a view."""
    meter = CostMeter()
    with options.opened(movies[0], fingerprint) as source:
        config = options.config
        plans = steps.prepare_views(
            movies,
            source,
            recipes,
            config.segment_seconds,
            config.incomplete,
            config.decode,
            config.seeks,
            config.hwaccel,
        )
        return _result(plans, meter)


@ray.remote(num_cpus=1, max_retries=0)
def segment(parts: Sequence[Segment], options: TaskOptions, *plans: MoviePlan) -> Any:
    """Decode a segment of one or more views.

    Returns their `VideoSegment`s or errors, and the bytes of each as a further object.
    """
    meter = CostMeter()
    with options.opened(plans[0].movie, plans[0].source_fingerprint) as source:
        results = steps.run_segments(list(zip(plans, parts, strict=True)), source)
        values = [item if isinstance(item, MovieError) else item[0] for item in results]
        payloads = [None if isinstance(item, MovieError) else item[1] for item in results]
        return _result(values, meter), *payloads


@ray.remote(num_cpus=1, max_retries=0)
def audio(plan: MoviePlan, segments: list[VideoSegment], options: TaskOptions) -> Any:
    """Decode the audio; yields the parts of its bytes as objects, then its `MovieAudio`.

    As a generator it hands each part to the object store at once and never holds all of them.
    """
    meter = CostMeter()
    with options.opened(plan.movie, plan.source_fingerprint) as source:
        decoded = yield from steps.run_audio_parts(plan, source, segments)
        yield _result([decoded], meter)


@ray.remote(num_cpus=1, max_retries=0)
def write(
    plan: MoviePlan,
    storage: Storage,
    cost: Cost,
    audio: MovieAudio,
    segments: list[VideoSegment],
    parts: dict[PartKey, list[Any]],
    first_shard: int,
) -> TaskResult:
    """Write shards and commit record; returns the `MovieRow`.

    `parts` are references to the bytes of the audio (`AUDIO_PART`) and of each segment. References
    are fetched one by one; as arguments they would all be in memory at the same time.
    """
    meter = CostMeter()
    with _machine_errors(plan.movie), reaper.own_folder() as folder, open_spool() as spool:
        require_unchanged(plan.movie)
        _fetch_parts(spool, plan.movie, parts)
        row = write_movie(
            plan, storage, cost, audio, segments, spool, first_shard=first_shard, folder=folder
        )
        return _result([row], meter)


@ray.remote(num_cpus=0, max_retries=0)
def delete_staged_copy(movie: Movie) -> None:
    """Delete a node's copy of a source."""
    delete_copy(movie)


def _fetch_parts(spool: Spool, movie: Movie, parts: dict[PartKey, list[Any]]) -> None:
    """Copy the parts from the object store; `LostError` names all that were lost."""
    lost = []
    for name, refs in parts.items():
        try:
            spool.add(name, (cast(Any, ray).get(ref, timeout=_FETCH_SECONDS) for ref in refs))
        except (ray_errors.ObjectLostError, ray_errors.GetTimeoutError):
            lost.append(name)
    if lost:
        raise LostError(
            f"{movie.name}: decoded clips were lost with a node: {len(lost)} of {len(parts)} parts",
            tuple(lost),
        )


@contextlib.contextmanager
def _machine_errors(movie: Movie) -> Iterator[None]:
    """Turn a lack of memory or disk space into errors of the pipeline."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemoryError(f"{movie.name}: the worker has no memory left") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{movie.name}: the node's disk is full: {error}") from error
        raise


def _result(values: Sequence[TaskValue | MovieError], meter: CostMeter) -> TaskResult:
    node: str = cast(Any, ray).get_runtime_context().get_node_id()
    return TaskResult(values, node, peak_rss_bytes(), meter.cpu_seconds)


def _cpu_seconds() -> float:
    # The process's own clock is exact: a short movie is written in less than a tick of the others.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
