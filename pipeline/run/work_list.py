"""What a run has to do: the corpus compared with what is committed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.config import RunConfig
from pipeline.errors import IncompleteError, MovieError
from pipeline.ffmpeg import ffmpeg_version
from pipeline.sources import Movie, fingerprint, keep_ids
from shards_spec import layout
from shards_spec.cli import version
from shards_spec.commits import read_committed_movies
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.reader import read_info, recipe_of
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage


@dataclass(frozen=True)
class WorkList:
    """What a run does with each movie of the corpus."""

    movies: tuple[Movie, ...]
    """All of them."""
    process: tuple[tuple[Movie, str], ...]
    """Movies to process, each with its source's fingerprint."""
    keep: tuple[MovieRow, ...]
    """Committed with the same source and recipe."""
    reasons: dict[str, str]
    """Why a committed movie is processed again, by movie id."""
    removed: tuple[str, ...]
    """Committed movies that the corpus no longer contains."""


def plan_run(
    corpus: Sequence[Movie], storage: Storage, recipe: Recipe, config: RunConfig
) -> WorkList:
    """Compare the corpus with what is committed. Movies that are committed keep their ids.

    Raises `InputError` when the dataset has movies of another recipe that are not in the corpus:
    they can neither stay in one dataset with the new ones nor be processed again.
    """
    committed = read_committed_movies(storage)
    movies = keep_ids(corpus, {row.source_uri: row.movie_id for row in committed.values()})
    with ThreadPoolExecutor(max_workers=min(32, 4 * (os.cpu_count() or 1))) as pool:
        fingerprints = list(pool.map(fingerprint_of, movies))
    process, keep, reasons = [], [], {}
    changed = _recipe_changes(storage, recipe)
    for movie, current in zip(movies, fingerprints, strict=True):
        row = committed.get(movie.movie_id)
        reason = ""
        if row is not None:
            reason = _redo_reason(row, current, recipe, changed) or _config_reason(row, config)
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
            f"{storage.uri} has {len(stale)} movies of another recipe that are not in this corpus "
            f"({', '.join(stale[:3])}...); choose another --out, or add their sources to the corpus"
        )
    return WorkList(tuple(movies), tuple(process), tuple(keep), reasons, removed)


def fingerprint_of(movie: Movie) -> str:
    """A source's fingerprint; empty when it cannot be read, which its first task will report."""
    try:
        return fingerprint(movie)
    except MovieError:
        return ""


def _redo_reason(row: MovieRow, fingerprint: str, recipe: Recipe, changed: str) -> str:
    """Why a committed movie must be processed again; empty when it can be kept."""
    if row.source_fingerprint != fingerprint:
        return "the source changed"
    if row.recipe_fingerprint != recipe.fingerprint:
        return f"the recipe changed{changed}"
    if row.status == "failed":
        return f"it failed for a transient reason ({row.error_class})"
    return ""


def _config_reason(row: MovieRow, config: RunConfig) -> str:
    """Why the settings of the run require a movie to be processed again; empty if they do not."""
    if row.error_class == IncompleteError.error_class and config.incomplete == "keep":
        return "movies that were cut off are kept now"
    if row.status == "done" and row.missing_ns and config.incomplete == "fail":
        return "movies that were cut off fail now"
    if config.redo_versions and is_of_other_versions(row):
        return "another version made it"
    return ""


def is_of_other_versions(row: MovieRow) -> bool:
    """Whether another version of reelshards or ffmpeg made a movie."""
    return (row.reelshards_version, row.ffmpeg_version) != (version(), ffmpeg_version())


def _recipe_changes(storage: Storage, recipe: Recipe) -> str:
    """` (fps 5.0 -> 4.0)` against the dataset's recipe; empty if that cannot be read.

    The movies of a killed first run have no `dataset.json` yet.
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


def invalidate(storage: Storage, work: WorkList) -> None:
    """Delete what will be rewritten, the index first, so that no index names stale bytes."""
    if not work.reasons:
        return
    for key in (layout.DATASET_JSON, layout.CLIPS_PARQUET, layout.MOVIES_PARQUET):
        storage.delete(key)
    for movie_id in work.reasons:
        storage.delete(layout.commit_key(movie_id))
