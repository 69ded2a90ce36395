"""Follows changes of a corpus that concern the index only: groups and further manifest columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from pipeline.sources import Movie
from shards_spec.dataset.index import read_commit, write_commit
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

#: Commit records that are rewritten at the same time.
_THREADS = 16


def update_rows(
    storage: Storage, movies: Sequence[Movie], kept: Sequence[MovieRow]
) -> tuple[MovieRow, ...]:
    """Rewrite the commit records of kept movies whose group or further columns changed.

    Records from before `source_modified_ns` get it, so that later changes are noticed.

    Nothing is decoded and no shard is written. Returns the kept rows as they are now.
    """
    by_id: Mapping[str, Movie] = {movie.movie_id: movie for movie in movies}
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="rows") as pool:
        return tuple(pool.map(lambda row: _updated(storage, by_id[row.movie_id], row), kept))


def _updated(storage: Storage, movie: Movie, row: MovieRow) -> MovieRow:
    extra = dict(movie.metadata)
    modified_ns = row.source_modified_ns or movie.modified_ns
    if (row.group, dict(row.extra), row.source_modified_ns) == (movie.group, extra, modified_ns):
        return row
    committed, clips = read_commit(storage, row.movie_id)
    changed = replace(committed, group=movie.group, extra=extra, source_modified_ns=modified_ns)
    write_commit(storage, changed, [replace(clip, group=movie.group) for clip in clips])
    return changed
