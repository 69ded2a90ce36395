"""Commits failed movies without losing what the dataset had of them before."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pipeline.engine.failure_classes import Fault
from shards_spec import layout
from shards_spec.dataset.index import write_commit
from shards_spec.errors import ObjectNotFoundError
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage


class FailureCommits:
    """Writes the commit records of failed movies, and takes them back if movies are not at fault.

    A movie with clips of a previous version of its source keeps them unless the new version itself
    is unusable: the next run then compares the source with the old record and processes it again.
    """

    def __init__(self, storage: Storage, with_clips: Collection[str] = ()) -> None:
        """`with_clips` are the ids of movies that have clips of a previous version."""
        self._storage = storage
        self._with_clips = with_clips
        #: The records that were replaced; None where there was none.
        self._replaced: dict[str, bytes | None] = {}

    def write(self, row: MovieRow, fault: Fault) -> None:
        """Commit that a movie failed, unless that would cost usable clips."""
        if fault != "movie":
            if row.movie_id in self._with_clips:
                return
            self._replaced[row.movie_id] = self._current(row.movie_id)
        write_commit(self._storage, row, [])

    def take_back(self, movie_ids: Sequence[str]) -> None:
        """Restore the records that these movies had before they failed."""
        for movie_id in movie_ids:
            if movie_id not in self._replaced:
                continue
            before = self._replaced[movie_id]
            if before is None:
                self._storage.delete(layout.commit_key(movie_id))
            else:
                self._storage.put(layout.commit_key(movie_id), before)

    def _current(self, movie_id: str) -> bytes | None:
        try:
            return self._storage.get(layout.commit_key(movie_id))
        except ObjectNotFoundError:
            return None
