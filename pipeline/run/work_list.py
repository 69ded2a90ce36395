"""What a run has to do: the corpus compared with what is committed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.errors import MovieError
from pipeline.sources import Movie, fingerprint
from shards_spec import layout
from shards_spec.commits import read_committed_movies
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.reader import read_info, recipe_of
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage


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


def plan_run(movies: Sequence[Movie], storage: Storage, recipe: Recipe) -> Todo:
    """Compare the corpus with what is committed.

    Raises `InputError` when the dataset holds movies of another recipe that the corpus lacks: they
    could neither be kept beside the new ones nor done again.
    """
    committed = read_committed_movies(storage)
    with ThreadPoolExecutor(max_workers=min(32, 4 * (os.cpu_count() or 1))) as pool:
        fingerprints = list(pool.map(fingerprint_of, movies))
    process, keep, reasons = [], [], {}
    changed = _recipe_changes(storage, recipe)
    for movie, current in zip(movies, fingerprints, strict=True):
        row = committed.get(movie.movie_id)
        reason = _redo_reason(row, current, recipe, changed) if row else ""
        if row is None or reason:
            process.append((movie, current))
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


def fingerprint_of(movie: Movie) -> str:
    """A source's fingerprint; empty when it has none yet: its first task will say why."""
    try:
        return fingerprint(movie)
    except MovieError:
        return ""


def _redo_reason(row: MovieRow, fingerprint: str, recipe: Recipe, changed: str) -> str:
    """Why a committed movie must be done again; empty when it may be kept."""
    if row.source_fingerprint != fingerprint:
        return "the source changed"
    if row.recipe_fingerprint != recipe.fingerprint:
        return f"the recipe changed{changed}"
    if row.status == "failed":
        return f"it failed for a transient reason ({row.error_class})"
    return ""


def _recipe_changes(storage: Storage, recipe: Recipe) -> str:
    """` (fps 5.0 -> 4.0)` against the dataset's recipe; empty where it has none that can be read.

    Movies of a run that was killed have no `dataset.json` beside them yet.
    """
    try:
        before = recipe_of(read_info(storage)).to_json()
    except ReelshardsError:
        return ""
    after = recipe.to_json()
    words = [
        f"{name} {before[name]} -> {after[name]}" for name in after if before[name] != after[name]
    ]
    return f" ({', '.join(words)})" if words else ""


def forget(storage: Storage, todo: Todo) -> None:
    """Take back what will be written anew, the index first: no index ever names stale bytes."""
    if not todo.redo_reasons:
        return
    for key in (layout.DATASET_JSON, layout.CLIPS_PARQUET, layout.MOVIES_PARQUET):
        storage.delete(key)
    for movie_id in todo.redo_reasons:
        storage.delete(layout.commit_key(movie_id))
