"""Removes movies from a dataset that its corpus no longer contains, and unused shards."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.run import lease
from pipeline.sources import find_movies, keep_ids
from shards_spec import layout
from shards_spec.commits import read_committed_movies, write_index
from shards_spec.reader import Dataset
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage


@dataclass(frozen=True)
class Prunable:
    """What `prune` would remove."""

    movies: tuple[MovieRow, ...]
    """Committed movies whose sources are not in the corpus."""
    stray_shards: tuple[str, ...]
    """Keys of shards that no commit record lists: left by a run that was killed."""


def find_prunable(storage: Storage, corpus: str, *, follow_links: bool = False) -> Prunable:
    """Compare a dataset with its corpus.

    Raises `InputError` when the corpus is empty, because then its path is wrong or not mounted.
    """
    movies = find_movies(corpus, follow_links=follow_links)
    committed = read_committed_movies(storage)
    known = {row.source_uri: row.movie_id for row in committed.values()}
    present = {movie.movie_id for movie in keep_ids(movies, known)}
    counted = {
        layout.shard_key(row.movie_id, number)
        for row in committed.values()
        for number in range(row.num_shards)
    }
    stray = (info.key for info in storage.list(layout.SHARDS) if info.key not in counted)
    gone = tuple(row for movie_id, row in sorted(committed.items()) if movie_id not in present)
    return Prunable(gone, tuple(stray))


def prune(dataset: Dataset, corpus: str, *, follow_links: bool = False) -> Prunable:
    """Remove them under the dataset's lease; returns what was removed."""
    storage = dataset.storage
    with lease.hold_lease(storage):
        prunable = find_prunable(storage, corpus, follow_links=follow_links)
        if prunable.movies:
            for key in (layout.DATASET_JSON, layout.CLIPS_PARQUET, layout.MOVIES_PARQUET):
                storage.delete(key)
            for row in prunable.movies:
                storage.delete(layout.commit_key(row.movie_id))
                for info in storage.list(layout.shards_prefix(row.movie_id)):
                    storage.delete(info.key)
            write_index(storage, dataset.recipe, str(dataset.info["ffmpeg_version"]))
        for key in prunable.stray_shards:
            storage.delete(key)
    return prunable
