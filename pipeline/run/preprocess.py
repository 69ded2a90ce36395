"""One run from corpus to index: find the work, do it, summarize it.

Nothing that a reader may use is deleted before its successor is written: new commit records replace
old ones, the index is replaced as a whole, and only then are old shards deleted.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline import lease
from pipeline.config import RunConfig
from pipeline.engine import DrainedError, Engine, run_processes
from pipeline.engine.events import Event, MovieFinished
from pipeline.ffmpeg import ffmpeg_version, ffprobe_path
from pipeline.lease import Lease, LeaseLostError
from pipeline.run.drain import on_sigterm
from pipeline.run.event_log import EventLog
from pipeline.run.index_keeper import IndexKeeper
from pipeline.run.leftovers import (
    Leftovers,
    delete_temporary_files,
    delete_temporary_folders,
    delete_unlisted_shards,
)
from pipeline.run.metrics import Metrics
from pipeline.run.progress import Progress, Recorder, advance
from pipeline.run.rows_update import update_rows
from pipeline.run.summary import Summary
from pipeline.run.work_list import (
    WorkList,
    plan_retry,
    plan_run,
    require_one_recipe,
)
from pipeline.sources import find_corpus, movie_of_row
from shards_spec import layout
from shards_spec.errors import InputError
from shards_spec.index import read_committed_movies, read_indexed_movies, write_index
from shards_spec.reader import read_info, recipe_of
from shards_spec.recipe import Recipe
from shards_spec.redaction import redacted
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

OnProgress = Callable[[Progress, Event | None], None]

#: Requests that delete old shards at the same time.
_DELETE_THREADS = 32


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
    recipe = replace(recipe, fast_decode=recipe.fast_decode or config.decode == "fast")
    found = find_corpus(corpus, follow_links=config.follow_links, group_depth=config.group_depth)
    storage = Storage(out, create=True)
    with lease.hold_lease(storage) as held_lease:
        storage = held_lease.fenced(storage.with_patience(config.store_patience_seconds))
        work = plan_run(found.movies, storage, recipe, config)
        work = replace(work, keep=update_rows(storage, work.movies, work.keep))
        run = _Run(corpus, storage, recipe, config, on_progress, held_lease)
        return replace(run.process(work), passed_over=found.passed_over)


def retry(
    storage: Storage,
    config: RunConfig,
    on_progress: OnProgress = lambda progress, event: None,
) -> Summary:
    """Process the failed and quarantined movies of a dataset again, with its recipe.

    Raises the errors of `preprocess`, and `InputError` if there is no dataset.
    """
    recipe = recipe_of(read_info(storage))
    if config.decode == "fast" and not recipe.fast_decode:
        raise InputError(
            f"{storage.uri} was not made with `--decode fast`, and `retry` keeps its recipe; use "
            "`preprocess` with that option to process all of its movies again"
        )
    with lease.hold_lease(storage) as held_lease:
        storage = held_lease.fenced(storage.with_patience(config.store_patience_seconds))
        rows = read_committed_movies(storage).values()
        require_one_recipe(rows, recipe, storage)
        movies = [
            movie_of_row(row, config.follow_links)
            for row in rows
            if row.status in ("failed", "quarantined")
        ]
        work = plan_retry(rows, movies, storage)
        run = _Run(f"retry of {storage.uri}", storage, recipe, config, on_progress, held_lease)
        return run.process(work)


@dataclass(frozen=True)
class _Run:
    """One run under its lease."""

    corpus: str
    storage: Storage
    recipe: Recipe
    config: RunConfig
    on_progress: OnProgress
    lease: Lease

    def process(self, work: WorkList) -> Summary:
        """Process the work list and write the index, during the run as well."""
        version = ffmpeg_version()
        ffprobe_path()
        before = read_indexed_movies(self.storage)
        leftovers = Leftovers(
            delete_temporary_files(self.storage),
            delete_temporary_folders(),
            run_processes.end_orphans(),
        )
        started = time.time()
        total, kept = len(work.movies), len(work.keep)
        begun = Progress(redacted(self.corpus), started, started, "running", total, kept)
        progress = begun
        failures: dict[str, MovieRow] = {}
        with (
            EventLog(self.config.log_json) as log,
            contextlib.closing(Recorder(self.storage.with_patience(0.0))) as recorder,
        ):
            try:
                for progress, event in self._steps(work, begun, recorder, log):  # noqa: B007
                    if isinstance(event, MovieFinished) and event.row.status != "done":
                        failures[event.movie_id] = event.row
            except BaseException as error:
                self._end(recorder, progress, error)
                if not work.changes_recipe and isinstance(error, DrainedError):
                    self._write_index(version, before)
                raise
            rows = {row.movie_id: row for row in self._write_index(version, before)}
            listed = {key for row in rows.values() for key in _shard_keys(row)}
            leftovers = replace(leftovers, shards=delete_unlisted_shards(self.storage, listed))
            progress = replace(progress, state="finished", updated_unix=time.time())
            recorder.write_now(progress)
        # A movie that keeps its previous clips after a failure is still listed as failed.
        own_rows = tuple(
            failures.get(movie.movie_id, rows[movie.movie_id]) for movie in work.movies
        )
        return Summary(
            progress,
            own_rows,
            work,
            time.time() - started,
            leftovers=leftovers,
            records_failed=recorder.num_failed + log.num_failed,
        )

    def _steps(
        self, work: WorkList, progress: Progress, recorder: Recorder, log: EventLog
    ) -> Iterator[tuple[Progress, Event | None]]:
        """Process the movies; yields how far the run is after each event."""
        recorder.write_now(progress)
        self.on_progress(progress, None)
        if not work.process:
            return
        with run_processes.running_ray(self.config) as watch:
            for event in self._events(work, log):
                watch.check()
                progress = replace(advance(progress, event), updated_unix=time.time())
                self.on_progress(progress, event)
                recorder.write(progress)
                yield progress, event

    def _events(self, work: WorkList, log: EventLog) -> Iterator[Event | None]:
        engine = Engine(self.storage, self.recipe, self.config)
        metrics = Metrics()
        keeper = IndexKeeper(
            lambda: self._update_index(ffmpeg_version()),
            self.config.index_minutes * 60,
            self.config.index_movies,
        )
        with on_sigterm(engine.drain), contextlib.closing(keeper):
            for event in engine.run(work.process):
                self.lease.check()
                metrics.note(event, engine.num_queued)
                if event is not None:
                    log.write(event)
                if isinstance(event, MovieFinished):
                    keeper.note_finished()
                # An index with two recipes would not be valid: the old one stays until all movies
                # are new.
                if not work.changes_recipe:
                    keeper.update_if_due()
                yield event

    def _write_index(self, version: str, before: Iterable[MovieRow]) -> list[MovieRow]:
        """Bring the index up to date, then delete the shards that only the one before listed."""
        rows = self._update_index(version)
        listed = {key for row in rows for key in _shard_keys(row)}
        unlisted = [key for row in before for key in _shard_keys(row) if key not in listed]
        with ThreadPoolExecutor(_DELETE_THREADS) as pool:
            list(pool.map(self.storage.delete, unlisted))
        return rows

    def _update_index(self, version: str) -> list[MovieRow]:
        self.lease.check()
        return write_index(self.storage, self.recipe, version)

    def _end(self, recorder: Recorder, progress: Progress, error: BaseException) -> None:
        """Record how an unfinished run ended, unless another run owns the record by now."""
        if isinstance(error, LeaseLostError):
            return
        state = "drained" if isinstance(error, DrainedError) else "interrupted"
        recorder.write_now(replace(progress, state=state))


def _shard_keys(row: MovieRow) -> list[str]:
    numbers = range(row.first_shard, row.first_shard + row.num_shards)
    return [layout.shard_key(row.movie_id, number) for number in numbers]
