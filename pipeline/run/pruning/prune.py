"""Removes movies from a dataset that its corpus no longer contains, and unused shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import lease
from pipeline.config import STORE_PATIENCE_SECONDS
from pipeline.run.pruning.receipt import Prunable, Removal, keep_index, write_receipt
from pipeline.run.work_list import require_one_recipe
from pipeline.sources import Movie
from pipeline.sources.corpus import find_movies
from pipeline.sources.movie_id import keep_ids
from shards_spec import layout
from shards_spec.dataset.fingerprints import store
from shards_spec.dataset.index import read_committed_movies, read_indexed_movies, write_index
from shards_spec.dataset.labels.tables import remove_movies
from shards_spec.dataset.reader import read_info, recipe_of
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage


def find_prunable(storage: Storage, corpus: str, *, follow_links: bool = False) -> Prunable:
    """Compare a dataset with its corpus.

    Raises `InputError` when there is no dataset, and when the corpus is empty: then its path
    is wrong, or it is not mounted.
    """
    read_info(storage)
    movies = find_movies(corpus, follow_links=follow_links)
    return _prunable(storage, read_committed_movies(storage), movies)


def prune(
    storage: Storage, corpus: str, *, follow_links: bool = False, receipt: Path | None = None
) -> Prunable:
    """Remove them under the dataset's lease; returns what was removed.

    Their labels go first, and what the search for near-duplicates has stored of them. The index
    without them is written next, then their commit records go, then their shards: nothing is ever
    listed that does not exist. Interrupted anywhere, it can be run again.

    `receipt` is a new folder for the deletion receipt, see `pipeline/run/pruning/receipt.py`.
    """
    info = read_info(storage)
    recipe = recipe_of(info)
    movies = find_movies(corpus, follow_links=follow_links)
    with lease.hold_lease(storage) as held_lease:
        storage = held_lease.fenced(storage.with_patience(STORE_PATIENCE_SECONDS))
        committed = read_committed_movies(storage)
        require_one_recipe(committed.values(), recipe, storage)
        prunable = _prunable(storage, committed, movies)
        gone = {row.movie_id for row in prunable.movies}
        if receipt is not None:
            keep_index(storage, receipt)
        if gone:
            remove_movies(storage, gone)
            store.remove_movies(storage, gone)
            write_index(storage, recipe, str(info["ffmpeg_version"]), without=gone)
        for movie_id in gone:
            storage.delete(layout.commit_key(movie_id))
        for movie_id in gone:
            for shard in storage.list(layout.shards_prefix(movie_id)):
                storage.delete(shard.key)
        for key in prunable.stray_shards:
            storage.delete(key)
        if receipt is not None:
            write_receipt(storage, receipt, corpus, prunable)
    return prunable


def _prunable(
    storage: Storage, committed: dict[str, MovieRow], movies: Sequence[Movie]
) -> Prunable:
    known = {row.source_uri: row.movie_id for row in committed.values()}
    present = {movie.movie_id for movie in keep_ids(movies, known)}
    listed = {
        layout.shard_key(row.movie_id, row.first_shard + number)
        for rows in (committed.values(), read_indexed_movies(storage))
        for row in rows
        for number in range(row.num_shards)
    }
    sizes = {info.key: info.size for info in storage.list(layout.SHARDS)}
    stray = tuple(key for key in sizes if key not in listed)
    gone = tuple(row for movie_id, row in sorted(committed.items()) if movie_id not in present)
    sizes |= {info.key: info.size for info in storage.list(layout.COMMITS)}
    commits = {layout.commit_key(row.movie_id) for row in gone}
    folders = tuple(f"{layout.shards_prefix(row.movie_id)}/" for row in gone)
    return Prunable(
        gone,
        stray,
        tuple(
            Removal(key, size)
            for key, size in sorted(sizes.items())
            if key in stray or key in commits or key.startswith(folders)
        ),
    )
