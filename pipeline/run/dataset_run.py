"""What a run does for one of its datasets: progress, index, and what it finds and leaves there."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipeline.config import RunConfig
from pipeline.engine import Assignment, DrainedError, View
from pipeline.engine.events import Event, MovieFinished
from pipeline.lease import Lease, LeaseLostError
from pipeline.run.index_keeper import IndexKeeper
from pipeline.run.leftovers import Leftovers, delete_temporary_files, delete_unlisted_shards
from pipeline.run.progress import Progress, Recorder, advance
from pipeline.run.summary import Summary
from pipeline.run.work_list import WorkList
from shards_spec import layout
from shards_spec.dataset.index import read_indexed_movies, write_index
from shards_spec.redaction import redacted
from shards_spec.schema import MovieRow

#: Requests that delete old shards at the same time.
_DELETE_THREADS = 32


class DatasetRun:
    """A run on one dataset, under its lease; call `close` at the end.

    Nothing that a reader may use is deleted before its successor is written: new commit records
    replace old ones, the index is replaced as a whole, and only then are old shards deleted.
    """

    def __init__(
        self,
        view: View,
        config: RunConfig,
        lease: Lease,
        work: WorkList,
        *,
        corpus: str,
        ffmpeg_version: str,
    ) -> None:
        """Remove what killed runs left, and record that the run has begun."""
        self.view = view
        self.work = work
        self._lease = lease
        self._version = ffmpeg_version
        self._failures: dict[str, MovieRow] = {}
        self._before = read_indexed_movies(view.storage)
        self._num_files = delete_temporary_files(view.storage)
        self._started = time.time()
        total, kept = len(work.movies), len(work.keep)
        self.progress = Progress(
            redacted(corpus), self._started, self._started, "running", total, kept, view=view.name
        )
        self._recorder = Recorder(view.storage.with_patience(0.0))
        self._keeper = IndexKeeper(
            self._update_index, config.index_minutes * 60, config.index_movies
        )
        self._recorder.write_now(self.progress)

    def assignments(self, number: int) -> list[Assignment]:
        """The movies to process, for the view with this number."""
        return [replace(item, view=number) for item in self.work.process]

    def note(self, event: Event | None) -> None:
        """Follow the run: an event that concerns this dataset, or None as time passes.

        Raises `LeaseLostError` if another run has taken over, and what an update of the index
        raised.
        """
        self._lease.check()
        if isinstance(event, MovieFinished):
            self._keeper.note_finished()
            if event.row.status != "done":
                self._failures[event.movie_id] = event.row
        # An index with two recipes would not be valid: the old one stays until all movies are new.
        if not self.work.changes_recipe:
            self._keeper.update_if_due()
        self.progress = replace(advance(self.progress, event), updated_unix=time.time())
        self._recorder.write(self.progress)

    def stop_updates(self) -> None:
        """Wait for a running update of the index."""
        self._keeper.close()

    def end_early(self, error: BaseException) -> None:
        """Record how an unfinished run ended, unless another run owns the record by now."""
        if not isinstance(error, LeaseLostError):
            state = "drained" if isinstance(error, DrainedError) else "interrupted"
            self._recorder.write_now(replace(self.progress, state=state))
        if not self.work.changes_recipe and isinstance(error, DrainedError):
            self._write_index()

    def finish(self, leftovers: Leftovers, records_failed: int) -> Summary:
        """Write the index and delete what it does not list.

        `leftovers` and `records_failed` are of the run as a whole.
        """
        rows = {row.movie_id: row for row in self._write_index()}
        listed = {key for row in rows.values() for key in _shard_keys(row)}
        leftovers = replace(
            leftovers,
            temporary_files=self._num_files,
            shards=delete_unlisted_shards(self.view.storage, listed),
        )
        self.progress = replace(self.progress, state="finished", updated_unix=time.time())
        self._recorder.write_now(self.progress)
        # A movie that keeps its previous clips after a failure is still listed as failed.
        own_rows = tuple(
            self._failures.get(movie.movie_id, rows[movie.movie_id]) for movie in self.work.movies
        )
        return Summary(
            self.progress,
            own_rows,
            self.work,
            time.time() - self._started,
            leftovers=leftovers,
            records_failed=self._recorder.num_failed + records_failed,
        )

    def close(self) -> None:
        """Wait for writes that have begun."""
        self._keeper.close()
        self._recorder.close()

    def _write_index(self) -> list[MovieRow]:
        """Bring the index up to date, then delete the shards that only the one before listed."""
        rows = self._update_index()
        listed = {key for row in rows for key in _shard_keys(row)}
        unlisted = [key for row in self._before for key in _shard_keys(row) if key not in listed]
        self._delete(unlisted)
        return rows

    def _delete(self, keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(_DELETE_THREADS) as pool:
            list(pool.map(self.view.storage.delete, keys))

    def _update_index(self) -> list[MovieRow]:
        self._lease.check()
        return write_index(self.view.storage, self.view.recipe, self._version)


def _shard_keys(row: MovieRow) -> list[str]:
    numbers = range(row.first_shard, row.first_shard + row.num_shards)
    return [layout.shard_key(row.movie_id, number) for number in numbers]
