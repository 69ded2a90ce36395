"""Removes from a dataset what its corpus no longer holds, and shards that nothing counts."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.run import lease
from pipeline.sources import find_movies
from shards_spec import layout
from shards_spec.commits import read_committed_movies, write_index
from shards_spec.reader import Dataset
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage


@dataclass(frozen=True)
class Prunable:
    """What `prune` would remove."""

    movies: tuple[MovieRow, ...]
    """Committed, but their sources are not in the corpus."""
    stray_shards: tuple[str, ...]
    """Keys of shards that no commit counts: left by a run that was killed."""


def find_prunable(storage: Storage, corpus: str, *, follow_links: bool = False) -> Prunable:
    """Compare a dataset with its corpus.

    Raises `InputError` when the corpus is empty: that is a path that is wrong or not mounted.
    """
    wanted = {movie.movie_id for movie in find_movies(corpus, follow_links=follow_links)}
    committed = read_committed_movies(storage)
    counted = {
        layout.shard_key(row.movie_id, number)
        for row in committed.values()
        for number in range(row.num_shards)
    }
    stray = (info.key for info in storage.list(layout.SHARDS) if info.key not in counted)
    gone = tuple(row for movie_id, row in sorted(committed.items()) if movie_id not in wanted)
    return Prunable(gone, tuple(stray))


def prune(dataset: Dataset, corpus: str, *, follow_links: bool = False) -> Prunable:
    """Remove them; what was removed. No other run may be at work on the dataset.

    The index goes first and comes back last: at no moment does it name what is not there.
    """
    storage = dataset.storage
    with lease.held(storage):
        found = find_prunable(storage, corpus, follow_links=follow_links)
        if found.movies:
            for key in (layout.DATASET_JSON, layout.CLIPS_PARQUET, layout.MOVIES_PARQUET):
                storage.delete(key)
            for row in found.movies:
                storage.delete(layout.commit_key(row.movie_id))
                for info in storage.list(layout.shards_prefix(row.movie_id)):
                    storage.delete(info.key)
            write_index(storage, dataset.recipe, str(dataset.info["ffmpeg_version"]))
        for key in found.stray_shards:
            storage.delete(key)
    return found
