"""Checks of dropped clips: the table against commit records, counts, and the kept clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import pyarrow as pa

from shards_spec import layout
from shards_spec.dataset.dropped import read_dropped
from shards_spec.dataset.validation.report import Collector, Problem
from shards_spec.errors import FormatError, StorageError
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.schema.dropped import DROP_REASONS, NO_CLIP, DroppedClips
from shards_spec.schema.duplicates import clip_ranges
from shards_spec.storage import Storage

_WHERE = layout.DROPPED_PARQUET


def dropped_by_movie(
    storage: Storage, movies: pa.Table, problems: Collector
) -> dict[str, pa.Table]:
    """The rows of the table of dropped clips, by movie; nothing if there is none, or none usable.

    Raises `StorageError` when a remote store fails.
    """
    try:
        table = read_dropped(storage)
    except (FormatError, StorageError) as error:
        if isinstance(error, StorageError) and not storage.is_local:
            raise
        problems.add([Problem("dropped", _WHERE, str(error))])
        return {}
    if table is None:
        return {}
    names = table["movie_id"].unique().to_pylist()
    unknown = set(names) - set(movies["movie_id"].to_pylist())
    problems.add(
        Problem("dropped", _WHERE, f"has clips of movie {name!r}, which is not in the index")
        for name in sorted(unknown)
    )
    ranges = clip_ranges(table, names)
    return {name: table.slice(first, end - first) for name, (first, end) in ranges.items()}


def dropped_problems(
    movie: MovieRow,
    committed: DroppedClips | None,
    indexed: Sequence[dict[str, Any]],
    clips: Sequence[ClipRow],
    recipe: Recipe,
) -> Iterator[Problem]:
    """A movie's dropped clips agree with its counts, its commit record, its clips and the grid.

    Args:
        committed: what the commit record lists; None if it is older than such lists.
        indexed: the movie's rows of the table.
        clips: its kept clips.
    """
    if committed is None:
        if indexed:
            message = f"has {len(indexed)} dropped clips that its commit record does not list"
            yield Problem("dropped", movie.movie_id, message)
        return
    names = ("clip_number", "start_ns", "end_ns", "reason")
    listed = [tuple(getattr(committed, name)[at] for name in names) for at in range(len(committed))]
    if Counter(listed) != Counter(tuple(row[name] for name in names) for row in indexed):
        message = f"differs from the commit record of movie {movie.movie_id}"
        yield Problem("dropped", _WHERE, message)
    counts = committed.counts
    for reason in DROP_REASONS:
        stated = getattr(movie, f"dropped_{reason}")
        if stated != counts[reason]:
            message = f"dropped_{reason} is {stated}, but {counts[reason]} such clips are listed"
            yield Problem("dropped", movie.movie_id, message)
    yield from _number_problems(movie.movie_id, committed, clips)
    for number, start_ns, end_ns, reason in listed:
        if wrong := _wrong_time(movie, recipe, number, start_ns, end_ns):
            message = f"{reason} clip {number} [{start_ns}, {end_ns}) ns {wrong}"
            yield Problem("dropped", movie.movie_id, message)


def _number_problems(
    movie_id: str, dropped: DroppedClips, clips: Sequence[ClipRow]
) -> Iterator[Problem]:
    kept = {row.clip_number for row in clips}
    for number, count in Counter(dropped.clip_number).items():
        if number == NO_CLIP:
            continue
        if count > 1 or number < 0:
            message = f"clip number {number} was dropped {count} times"
            yield Problem("dropped", movie_id, message)
        if number in kept:
            yield Problem("dropped", movie_id, f"clip number {number} was both kept and dropped")


def _wrong_time(
    movie: MovieRow, recipe: Recipe, number: int, start_ns: int, end_ns: int
) -> str | None:
    """What is wrong with the time of a dropped clip."""
    if not 0 <= start_ns < end_ns:
        return "is not a time range"
    if movie.duration_ns and end_ns > movie.duration_ns + recipe.grid_ns(1):
        return f"ends after the end of the movie at {movie.duration_ns} ns"
    if movie.recipe_fingerprint != recipe.fingerprint:
        return None
    first = number * recipe.stride_frames
    if recipe.clips == "shots":
        first = round(Fraction(start_ns, NANOSECONDS) * recipe.fps_fraction)
    last = first + recipe.num_frames
    if number == NO_CLIP:
        # A whole shot, shorter than a clip.
        last = min(last, round(Fraction(end_ns, NANOSECONDS) * recipe.fps_fraction))
    if (recipe.grid_ns(first), recipe.grid_ns(last)) != (start_ns, end_ns):
        return "is off the grid"
    return None
