"""One run from corpus to index: find the work, do it, summarise it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.config import RunConfig
from pipeline.engine import DrainedError, Engine, start_ray, stop_ray
from pipeline.engine.events import Event
from pipeline.ffmpeg import ffmpeg_version, ffprobe_path
from pipeline.run import lease
from pipeline.run.drain import on_sigterm
from pipeline.run.event_log import EventLog
from pipeline.run.lease import Lease, LeaseLostError
from pipeline.run.metrics import Metrics
from pipeline.run.progress import Progress, Recorder, advance
from pipeline.run.rows_update import update_rows
from pipeline.run.work_list import (
    WorkList,
    fingerprint_of,
    invalidate,
    is_of_other_versions,
    plan_run,
)
from pipeline.sources import Movie, find_corpus, looked_up
from shards_spec.commits import read_committed_movies, write_index
from shards_spec.errors import InputError, StorageError
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.redaction import redacted
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

OnProgress = Callable[[Progress, Event | None], None]


@dataclass(frozen=True)
class Summary:
    """The outcome of a finished run."""

    progress: Progress
    rows: tuple[MovieRow, ...]
    """All movies of the corpus, as committed."""
    work: WorkList
    wall_seconds: float
    passed_over: tuple[tuple[str, int], ...] = ()
    """(ending, number) of files of the corpus that are not movies; see `Corpus`."""

    @property
    def of_other_versions(self) -> tuple[MovieRow, ...]:
        """Movies in the dataset that another version of reelshards or ffmpeg made."""
        return tuple(row for row in self.rows if row.status == "done" and is_of_other_versions(row))

    @property
    def counts(self) -> dict[str, int]:
        """Number of movies by status; only statuses that occur."""
        return dict(sorted(Counter(row.status for row in self.rows).items()))

    @property
    def failed(self) -> tuple[MovieRow, ...]:
        """Movies that are missing from the dataset because of a failure."""
        return tuple(row for row in self.rows if row.status in ("quarantined", "failed"))

    @property
    def skipped(self) -> tuple[MovieRow, ...]:
        """Movies without a usable clip."""
        return tuple(row for row in self.rows if row.status == "skipped")


def preprocess(
    corpus: str,
    out: str,
    recipe: Recipe,
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> Summary:
    """Turn a corpus into a dataset at `out`; movies that are already there are kept.

    Raises:
        InputError: the corpus or the output cannot be used, or another run works on the output.
        StorageError: the output cannot be read or written.
        DrainedError: SIGTERM arrived before the end.
    """
    found = find_corpus(corpus, follow_links=config.follow_links, group_depth=config.group_depth)
    storage = Storage(out, create=True)
    with lease.hold_lease(storage) as held_lease:
        work = plan_run(found.movies, storage, recipe, config)
        work = replace(work, keep=update_rows(storage, work.movies, work.keep))
        run = _Run(corpus, storage, recipe, config, on_progress, held_lease)
        return replace(run.process(work.movies, work), passed_over=found.passed_over)


def retry(
    storage: Storage,
    recipe: Recipe,
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> Summary:
    """Process the failed and quarantined movies of a dataset again."""
    with lease.hold_lease(storage) as held_lease:
        rows = [
            row
            for row in read_committed_movies(storage).values()
            if row.status in ("failed", "quarantined")
        ]
        movies = [_movie_of(row) for row in rows]
        process = tuple((movie, fingerprint_of(movie)) for movie in movies)
        reasons = {movie.movie_id: "a retry was requested" for movie in movies}
        work = WorkList(tuple(movies), process, (), reasons, ())
        run = _Run(f"retry of {storage.uri}", storage, recipe, config, on_progress, held_lease)
        return run.process(movies, work)


@dataclass(frozen=True)
class _Run:
    """One run under its lease."""

    corpus: str
    storage: Storage
    recipe: Recipe
    config: RunConfig
    on_progress: OnProgress
    lease: Lease

    def process(self, movies: Sequence[Movie], work: WorkList) -> Summary:
        """Process the work list, then write the index."""
        version = ffmpeg_version()
        ffprobe_path()
        invalidate(self.storage, work)
        started = time.time()
        total, kept = len(movies), len(work.keep)
        progress = Progress(redacted(self.corpus), started, started, "running", total, kept)
        recorder = Recorder(self.storage)
        started_ray = False
        try:
            recorder.write(progress, now=True)
            started_ray = bool(work.process) and start_ray(self.config)
            for event in self._events(work):
                progress = replace(advance(progress, event), updated_unix=time.time())
                self.on_progress(progress, event)
                recorder.write(progress)
        except BaseException as error:
            self._end(recorder, progress, error)
            raise
        finally:
            if started_ray:
                stop_ray()
        self.lease.check()
        rows = {row.movie_id: row for row in write_index(self.storage, self.recipe, version)}
        progress = replace(progress, state="finished", updated_unix=time.time())
        recorder.write(progress, now=True)
        own_rows = tuple(rows[movie.movie_id] for movie in movies)
        return Summary(progress, own_rows, work, time.time() - started)

    def _events(self, work: WorkList) -> Iterator[Event | None]:
        engine = Engine(self.storage, self.recipe, self.config)
        metrics = Metrics()
        with on_sigterm(engine.drain), EventLog(self.config.log_json) as log:
            for event in engine.run(work.process):
                self.lease.check()
                metrics.note(event, engine.num_queued)
                if event is not None:
                    log.write(event)
                yield event

    def _end(self, recorder: Recorder, progress: Progress, error: BaseException) -> None:
        """Record how an unfinished run ended, unless another run owns the record by now."""
        if not isinstance(error, LeaseLostError):
            state = "drained" if isinstance(error, DrainedError) else "interrupted"
            recorder.write(replace(progress, state=state), now=True)


def movie_hours(rows: Sequence[MovieRow]) -> float:
    """Total length of movies, hours."""
    return sum(row.duration_ns for row in rows) / NANOSECONDS / 3600


def _movie_of(row: MovieRow) -> Movie:
    """The corpus entry of a committed row, with its source as it is now."""
    if "***" in row.source_uri:
        raise InputError(
            f"{row.movie_id}: its address contained a secret, which the dataset does not store; "
            "run `preprocess` with the corpus instead of `retry`"
        )
    movie = Movie(
        movie_id=row.movie_id,
        uri=row.source_uri,
        group=row.group,
        num_bytes=row.source_bytes,
        language=row.wanted_language,
        audio_track=row.wanted_audio_track,
        program=row.wanted_program,
        start_seconds=row.wanted_start_seconds,
        end_seconds=row.wanted_end_seconds,
        metadata=tuple(row.extra.items()),
    )
    try:
        return looked_up(movie)
    except StorageError:
        # Its first task will report why.
        return movie
