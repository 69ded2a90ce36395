"""One run from corpus to index: what is to do, doing it, and the account of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline import source
from pipeline.cluster import start_ray, stop_ray
from pipeline.config import RunConfig
from pipeline.corpus import Movie, find_movies
from pipeline.drain import on_sigterm
from pipeline.engine import DrainedError, Engine
from pipeline.jobs import Event
from pipeline.progress import Progress, Recorder, advance
from pipeline.redaction import redacted
from pipeline.todo import Todo, fingerprint_of, forget, plan_run
from pipeline.tools import ffmpeg_version, ffprobe_path
from shards_spec.errors import InputError, StorageError
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage
from shards_spec.writer import read_committed_movies, write_index

OnProgress = Callable[[Progress, Event | None], None]


@dataclass(frozen=True)
class Summary:
    """The account of a finished run."""

    progress: Progress
    rows: tuple[MovieRow, ...]
    """All movies of the corpus, as committed."""
    todo: Todo
    wall_seconds: float

    @property
    def failed(self) -> tuple[MovieRow, ...]:
        """Movies that are missing from the dataset through a failure."""
        return tuple(row for row in self.rows if row.status in ("quarantined", "failed"))

    @property
    def skipped(self) -> tuple[MovieRow, ...]:
        """Movies that hold no usable clip."""
        return tuple(row for row in self.rows if row.status == "skipped")


def preprocess(
    corpus: str,
    out: str,
    recipe: Recipe,
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> Summary:
    """Turn a corpus into a dataset at `out`, as far as it is not there already.

    Raises `InputError` or `StorageError` when nothing can be done at all, `DrainedError` when
    SIGTERM came before the end.
    """
    movies = find_movies(corpus, follow_links=config.follow_links)
    storage = Storage(out, create=True)
    todo = plan_run(movies, storage, recipe)
    return _process(corpus, movies, todo, storage, recipe, config, on_progress)


def retry(
    storage: Storage,
    recipe: Recipe,
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> Summary:
    """Try the failed and quarantined movies of a dataset once more."""
    rows = [
        row
        for row in read_committed_movies(storage).values()
        if row.status in ("failed", "quarantined")
    ]
    movies = [_movie_of(row) for row in rows]
    process = tuple((movie, fingerprint_of(movie)) for movie in movies)
    todo = Todo(process, (), {movie.movie_id: "a retry was asked for" for movie in movies}, ())
    return _process(f"retry of {storage.uri}", movies, todo, storage, recipe, config, on_progress)


def _process(
    corpus: str,
    movies: Sequence[Movie],
    todo: Todo,
    storage: Storage,
    recipe: Recipe,
    config: RunConfig,
    on_progress: OnProgress,
) -> Summary:
    version = ffmpeg_version()
    ffprobe_path()
    forget(storage, todo)
    started = time.time()
    total, kept = len(movies), len(todo.keep)
    progress = Progress(redacted(corpus), started, started, "running", total, kept)
    recorder = Recorder(storage)
    is_ours = False
    try:
        recorder.write(progress, now=True)
        is_ours = bool(todo.process) and start_ray(config)
        engine = Engine(storage, recipe, config)
        with on_sigterm(engine.drain):
            for event in engine.run(todo.process):
                progress = replace(advance(progress, event), updated_unix=time.time())
                on_progress(progress, event)
                recorder.write(progress)
    except BaseException as error:
        state = "drained" if isinstance(error, DrainedError) else "interrupted"
        recorder.write(replace(progress, state=state), now=True)
        raise
    finally:
        if is_ours:
            stop_ray()
    committed = {row.movie_id: row for row in write_index(storage, recipe, version)}
    progress = replace(progress, state="finished", updated_unix=time.time())
    recorder.write(progress, now=True)
    rows = tuple(committed[movie.movie_id] for movie in movies)
    return Summary(progress, rows, todo, time.time() - started)


def film_hours(rows: Sequence[MovieRow]) -> float:
    """Total length of movies, hours."""
    return sum(row.duration_ns for row in rows) / NANOSECONDS / 3600


def _movie_of(row: MovieRow) -> Movie:
    """The corpus entry that a committed row came from, with its source as it is now."""
    if "***" in row.source_uri:
        raise InputError(
            f"{row.movie_id}: its address held a secret, which the dataset does not keep; "
            "run `preprocess` with the corpus instead of `retry`"
        )
    movie = Movie(
        movie_id=row.movie_id,
        uri=row.source_uri,
        group=row.group,
        num_bytes=row.source_bytes,
        language=row.wanted_language,
        audio_track=row.wanted_audio_track,
        start_seconds=row.wanted_start_seconds,
        end_seconds=row.wanted_end_seconds,
    )
    try:
        return source.looked_up(movie)
    except StorageError:
        # Its first task will say why.
        return movie
