"""What a run has to do: the corpus compared with what is committed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from pipeline.config import RunConfig
from pipeline.engine import Assignment
from pipeline.errors import IncompleteError, MovieError
from pipeline.ffmpeg.binaries import ffmpeg_version
from pipeline.sources import Movie
from pipeline.sources.identity import fingerprint, former_fingerprint, is_same_source
from pipeline.sources.movie_id import keep_ids
from shards_spec import layout
from shards_spec.dataset.index import read_committed_movies, read_indexed_movies
from shards_spec.dataset.reader import read_info, recipe_of
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.recipe import Recipe
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage
from shards_spec.version import version


@dataclass(frozen=True)
class WorkList:
    """What a run does with each movie of the corpus."""

    movies: tuple[Movie, ...]
    """All of them."""
    process: tuple[Assignment, ...]
    """Movies to process."""
    keep: tuple[MovieRow, ...]
    """Committed with the same source and recipe."""
    reasons: dict[str, str]
    """Why a committed movie is processed again, by movie id."""
    removed: tuple[str, ...]
    """Committed movies that the corpus no longer contains."""
    unreadable: tuple[str, ...] = ()
    """Movies whose commit records could not be read, as after a power failure; these are gone."""
    changes_recipe: bool = False
    """Whether the dataset has movies of another recipe until all of them have been processed."""


def plan_run(
    corpus: Sequence[Movie], storage: Storage, recipe: Recipe, config: RunConfig
) -> WorkList:
    """Compare the corpus with what is committed. Movies that are committed keep their ids.

    Commit records that cannot be read are deleted, so that their movies are processed again.

    Raises `InputError` when the dataset has movies of another recipe that are not in the corpus:
    they can neither stay in one dataset with the new ones nor be processed again.
    """
    unreadable: list[str] = []
    committed = read_committed_movies(storage, unreadable.append)
    for movie_id in unreadable:
        storage.delete(layout.commit_key(movie_id))
    movies = keep_ids(corpus, {row.source_uri: row.movie_id for row in committed.values()})
    next_shards = _next_shards(storage, committed.values())
    process, keep = [], []
    reasons = dict.fromkeys(unreadable, "the commit record was unreadable")
    changes = _recipe_changes(storage, recipe)
    for movie, current in zip(movies, fingerprints_of(movies), strict=True):
        row = committed.get(movie.movie_id)
        reason = _redo_reason(row, movie, current, recipe, config, changes) if row else ""
        if row is not None and not reason:
            keep.append(row)
            continue
        if reason:
            reasons[movie.movie_id] = reason
        process.append(
            Assignment(
                movie,
                current,
                first_shard=next_shards.get(movie.movie_id, 0),
                has_clips=row is not None
                and row.status == "done"
                and row.recipe_fingerprint == recipe.fingerprint,
            )
        )
    removed = tuple(sorted(set(committed) - {movie.movie_id for movie in movies}))
    other = [i for i in committed if committed[i].recipe_fingerprint != recipe.fingerprint]
    _require_in_corpus(sorted(set(removed) & set(other)), storage)
    return WorkList(
        tuple(movies),
        tuple(process),
        tuple(keep),
        reasons,
        removed,
        unreadable=tuple(unreadable),
        changes_recipe=bool(other),
    )


def plan_retry(rows: Iterable[MovieRow], movies: Sequence[Movie], storage: Storage) -> WorkList:
    """The work of a retry.

    Args:
        rows: all committed movies of the dataset.
        movies: those of them that are processed again.
    """
    next_shards = _next_shards(storage, rows)
    process = tuple(
        Assignment(movie, current, first_shard=next_shards.get(movie.movie_id, 0))
        for movie, current in zip(movies, fingerprints_of(movies), strict=True)
    )
    reasons = {movie.movie_id: "a retry was requested" for movie in movies}
    return WorkList(tuple(movies), process, (), reasons, ())


def require_one_recipe(rows: Iterable[MovieRow], recipe: Recipe, storage: Storage) -> None:
    """Raise `InputError` when a change of the recipe was interrupted halfway."""
    other = [row.movie_id for row in rows if row.recipe_fingerprint != recipe.fingerprint]
    if other:
        raise InputError(
            f"{storage.uri} has {len(other)} movies of another recipe ({', '.join(other[:3])}...): "
            "a run that changes the recipe was interrupted; run that `preprocess` again first"
        )


def fingerprints_of(movies: Sequence[Movie]) -> list[str]:
    """Fingerprints of the sources; empty for those that cannot be read, which tasks will report."""
    with ThreadPoolExecutor(max_workers=min(32, 4 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(_fingerprint_of, movies))


def _fingerprint_of(movie: Movie) -> str:
    try:
        return fingerprint(movie)
    except MovieError:
        return ""


def _next_shards(storage: Storage, committed: Iterable[MovieRow]) -> dict[str, int]:
    """For each movie with shards that index or commit records list: the number after the last.

    New shards get numbers from there on, so that readers of the old ones are not disturbed.
    """
    numbers: dict[str, int] = {}
    for rows in (committed, read_indexed_movies(storage)):
        for row in rows:
            if row.num_shards:
                end = row.first_shard + row.num_shards
                numbers[row.movie_id] = max(end, numbers.get(row.movie_id, 0))
    return numbers


def _require_in_corpus(stale: Sequence[str], storage: Storage) -> None:
    """Refuse a change of the recipe that cannot reach the movies `stale`: not in the corpus."""
    if stale:
        raise InputError(
            f"{storage.uri} has {len(stale)} movies of another recipe that are not in this corpus "
            f"({', '.join(stale[:3])}...); choose another --out, or add their sources to the corpus"
        )


def _redo_reason(
    row: MovieRow, movie: Movie, current: str, recipe: Recipe, config: RunConfig, changes: str
) -> str:
    """Why a committed movie must be processed again; empty when it can be kept."""
    if not current or row.source_fingerprint not in (current, former_fingerprint(movie)):
        return "the source changed"
    if not is_same_source(movie, replace(movie, modified_ns=row.source_modified_ns)):
        return "the source was modified since"
    if row.recipe_fingerprint != recipe.fingerprint:
        return f"the recipe changed{changes}"
    if row.status == "failed":
        return f"it failed for a transient reason ({row.error_class})"
    return _config_reason(row, config)


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
        before = asdict(recipe_of(read_info(storage)))
    except ReelshardsError:
        return ""
    after = asdict(recipe)
    changes = [
        f"{name} {before[name]} -> {after[name]}" for name in after if before[name] != after[name]
    ]
    return f" ({', '.join(changes)})" if changes else ""
