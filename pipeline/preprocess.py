"""One run from corpus to index: what is to do, doing it, and the account of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from pipeline import source
from pipeline.corpus import Movie, find_movies
from pipeline.engine import Engine, Event, RunConfig, start_ray, stop_ray
from pipeline.errors import SourceError
from pipeline.tools import ffmpeg_version, ffprobe_path
from shards_spec import layout
from shards_spec.errors import InputError, ObjectNotFoundError
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage
from shards_spec.writer import read_committed_movies, write_index

#: Where a run tells others how far it is.
RUN_RECORD = "run.json"
_RECORD_EVERY_SECONDS = 5.0


OnProgress = Callable[["Progress", Event | None], None]


@dataclass(frozen=True)
class Todo:
    """What a run will do with each movie of the corpus."""

    process: tuple[tuple[Movie, str], ...]
    """(movie, source fingerprint) to be done."""
    keep: tuple[MovieRow, ...]
    """Committed with equal source and recipe."""
    redo_reasons: dict[str, str]
    """Why a committed movie is done again, by movie id."""
    removed: tuple[str, ...]
    """Committed movies that the corpus no longer holds."""


@dataclass(frozen=True)
class Progress:
    """How far a run is; kept in `run.json` beside the dataset while it runs."""

    corpus: str
    started_unix: float
    updated_unix: float
    state: str
    """`running`, `finished` or `interrupted`."""
    movies_total: int
    movies_kept: int
    """Committed by earlier runs."""
    movies_done: int = 0
    movies_skipped: int = 0
    movies_failed: int = 0
    """Quarantined or failed."""
    movies_planned: int = 0
    retries: int = 0
    clips: int = 0
    film_seconds_planned: float = 0.0
    film_seconds_decoded: float = 0.0

    @property
    def movies_finished(self) -> int:
        """Movies that this run is through with, whatever came out."""
        return self.movies_done + self.movies_skipped + self.movies_failed

    @property
    def film_hours_per_hour(self) -> float:
        """Film time decoded over wall time."""
        wall = self.updated_unix - self.started_unix
        return self.film_seconds_decoded / wall if wall > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Expected rest, from the mean length of the movies planned so far; None if unknown."""
        todo = self.movies_total - self.movies_kept
        if not self.movies_planned or self.film_hours_per_hour <= 0:
            return None
        whole = self.film_seconds_planned * max(todo, self.movies_planned) / self.movies_planned
        return max(0.0, whole - self.film_seconds_decoded) / self.film_hours_per_hour


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

    Raises `InputError` or `StorageError` when nothing can be done at all.
    """
    movies = find_movies(corpus)
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
    process = tuple((movie, _fingerprint(movie)) for movie in movies)
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
    _forget(storage, todo)
    started = time.time()
    progress = Progress(corpus, started, started, "running", len(movies), len(todo.keep))
    recorder = _Recorder(storage)
    is_ours = False
    try:
        recorder.write(progress, now=True)
        is_ours = bool(todo.process) and start_ray(config)
        for event in Engine(storage, recipe, config).run(todo.process):
            progress = replace(_advance(progress, event), updated_unix=time.time())
            on_progress(progress, event)
            recorder.write(progress)
    except BaseException:
        recorder.write(replace(progress, state="interrupted"), now=True)
        raise
    finally:
        if is_ours:
            stop_ray()
    committed = {row.movie_id: row for row in write_index(storage, recipe, version)}
    progress = replace(progress, state="finished", updated_unix=time.time())
    recorder.write(progress, now=True)
    rows = tuple(committed[movie.movie_id] for movie in movies)
    return Summary(progress, rows, todo, time.time() - started)


def plan_run(movies: Sequence[Movie], storage: Storage, recipe: Recipe) -> Todo:
    """Compare the corpus with what is committed.

    Raises `InputError` when the dataset holds movies of another recipe that the corpus lacks: they
    could neither be kept beside the new ones nor done again.
    """
    committed = read_committed_movies(storage)
    with ThreadPoolExecutor(max_workers=min(32, 4 * (os.cpu_count() or 1))) as pool:
        fingerprints = list(pool.map(_fingerprint, movies))
    process, keep, reasons = [], [], {}
    for movie, fingerprint in zip(movies, fingerprints, strict=True):
        row = committed.get(movie.movie_id)
        reason = _redo_reason(row, fingerprint, recipe) if row else ""
        if row is None or reason:
            process.append((movie, fingerprint))
            if reason:
                reasons[movie.movie_id] = reason
        else:
            keep.append(row)
    removed = tuple(sorted(set(committed) - {movie.movie_id for movie in movies}))
    stale = [i for i in removed if committed[i].recipe_fingerprint != recipe.fingerprint]
    if stale:
        raise InputError(
            f"{storage.uri} holds {len(stale)} movies of another recipe that are not in this "
            f"corpus ({', '.join(stale[:3])}...); choose another --out, or give their sources too"
        )
    return Todo(tuple(process), tuple(keep), reasons, removed)


def read_progress(storage: Storage) -> Progress | None:
    """The record of the last run, or None when there is none."""
    try:
        return Progress(**json.loads(storage.get(RUN_RECORD)))
    except (ObjectNotFoundError, ValueError, TypeError):
        return None


def film_hours(rows: Sequence[MovieRow]) -> float:
    """Total length of movies, hours."""
    return sum(row.duration_ns for row in rows) / NANOSECONDS / 3600


def _movie_of(row: MovieRow) -> Movie:
    """The corpus entry that a committed row came from."""
    return Movie(
        movie_id=row.movie_id,
        uri=row.source_uri,
        group=row.group,
        num_bytes=row.source_bytes,
        language=row.wanted_language,
        audio_track=row.wanted_audio_track,
        start_seconds=row.wanted_start_seconds,
        end_seconds=row.wanted_end_seconds,
    )


class _Recorder:
    """Writes the progress record now and then."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._written = 0.0

    def write(self, progress: Progress, *, now: bool = False) -> None:
        if now or time.monotonic() - self._written > _RECORD_EVERY_SECONDS:
            self._storage.put(RUN_RECORD, json.dumps(asdict(progress), indent=2).encode())
            self._written = time.monotonic()


def _advance(progress: Progress, event: Event | None) -> Progress:
    if event is None:
        return progress
    if event.kind == "planned":
        return replace(
            progress,
            movies_planned=progress.movies_planned + 1,
            film_seconds_planned=progress.film_seconds_planned + event.film_seconds,
        )
    if event.kind == "decoded":
        seconds = progress.film_seconds_decoded + event.film_seconds
        return replace(progress, film_seconds_decoded=seconds)
    if event.kind == "retry":
        return replace(progress, retries=progress.retries + 1)
    assert event.row is not None
    clips = progress.clips + event.row.num_clips
    if event.row.status == "done":
        return replace(progress, movies_done=progress.movies_done + 1, clips=clips)
    if event.row.status == "skipped":
        return replace(progress, movies_skipped=progress.movies_skipped + 1)
    return replace(progress, movies_failed=progress.movies_failed + 1)


def _fingerprint(movie: Movie) -> str:
    """Empty when the source cannot be looked at; its first task will say why."""
    try:
        return source.fingerprint(movie)
    except SourceError:
        return ""


def _redo_reason(row: MovieRow, fingerprint: str, recipe: Recipe) -> str:
    """Why a committed movie must be done again; empty when it may be kept."""
    if row.source_fingerprint != fingerprint:
        return "the source changed"
    if row.recipe_fingerprint != recipe.fingerprint:
        return "the recipe changed"
    if row.status == "failed":
        return f"it failed for a transient reason ({row.error_class})"
    return ""


def _forget(storage: Storage, todo: Todo) -> None:
    """Take back what will be written anew, the index first: no index ever names stale bytes."""
    if not todo.redo_reasons:
        return
    for key in (layout.DATASET_JSON, layout.CLIPS_PARQUET, layout.MOVIES_PARQUET):
        storage.delete(key)
    for movie_id in todo.redo_reasons:
        storage.delete(layout.commit_key(movie_id))
