"""Movies that look and sound the same, found in the index alone.

A copy that was encoded again, scaled or put into another container has other bytes, but the
brightness and loudness of its clips change in the same way over time. Runs of a few clips are
compared by a coarse hash of these changes; movies that share several runs at one offset are then
compared clip by clip. This finds copies whose clips begin at the same times of the content, or a
whole number of clips later; not copies that start at any other time, or run faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.reader import Dataset

#: Clips in a run, and the fewest runs that two movies must share.
RUN_CLIPS, MIN_RUNS = 6, 2

#: Steps of the coarse hash: loudness in dB, mean luma.
_STEPS = (3.0, 10.0)

#: Runs in which neither loudness (dB) nor luma varies by this say nothing.
_MIN_DEVIATIONS = (1.0, 3.0)

#: Largest differences of clips that show the same, beyond what all clips of two movies differ by.
_MAX_DIFFERENCES = (1.5, 6.0)

#: Equal runs in more movies than this are logos, black or silence.
_MAX_REPEATS = 8

#: Pairs of movies that are compared clip by clip, those with the most equal runs.
MAX_CANDIDATES = 20_000

#: Share of the clips at equal times that must match for two movies to be the same.
SAME_FRACTION = 0.7


@dataclass(frozen=True)
class Lookalike:
    """Two movies with clips that look and sound the same."""

    first: str
    second: str
    offset_clips: int
    """Clip n of the first shows what clip n + offset of the second does."""
    matching: int
    """Clips that match."""
    compared: int
    """Clips that both have at this offset."""
    from_clip: int
    """First and last matching clip of the first movie."""
    to_clip: int

    def other(self, movie_id: str) -> str:
        """The movie that is not this one."""
        return self.second if movie_id == self.first else self.first

    @property
    def words(self) -> str:
        """How much matches, in words."""
        whole = "the whole movie" if self.is_same else "a part"
        at = f", {abs(self.offset_clips):,} clips later" if self.offset_clips else ""
        return f"{whole}: {self.matching:,} of {self.compared:,} clips match{at}"

    @property
    def share(self) -> str:
        """How much of the movies is the same."""
        return "whole" if self.is_same else "part"

    @property
    def is_same(self) -> bool:
        """Whether the movies are the same as a whole, and not only in part."""
        return self.matching >= SAME_FRACTION * self.compared


def find_lookalikes(dataset: Dataset) -> tuple[Lookalike, ...]:
    """All pairs, the most clips first; none for recipes whose clips have no common grid."""
    if dataset.recipe.clips != "uniform" or not dataset.clips.num_rows:
        return ()
    course = _course_of(dataset)
    found = []
    for first, second, offset in _candidates(course):
        pair = _compare(course, first, second, offset)
        if pair is not None:
            found.append(pair)
    return tuple(sorted(found, key=lambda pair: (-pair.matching, pair.first, pair.second)))


@dataclass(frozen=True)
class _Course:
    """All clips, sorted by movie and number."""

    names: list[str]
    movie: NDArray[np.int64]
    """(N,) index into `names`."""
    number: NDArray[np.int64]
    values: NDArray[np.float32]
    """(N, 2): loudness in dB, mean luma."""
    starts: NDArray[np.int64]
    """(num_movies + 1,) first row of each movie."""


def _course_of(dataset: Dataset) -> _Course:
    clips = dataset.clips
    encoded = clips["movie_id"].combine_chunks().dictionary_encode()
    movie = encoded.indices.to_numpy().astype(np.int64)
    number = clips["clip_number"].to_numpy().astype(np.int64)
    order = np.lexsort((number, movie))
    columns = (clips[name].to_numpy() for name in ("audio_rms_dbfs", "luma_mean"))
    values = np.stack([column[order] for column in columns], axis=1)
    names: list[str] = encoded.dictionary.to_pylist()
    starts = np.searchsorted(movie[order], np.arange(len(names) + 1))
    return _Course(names, movie[order], number[order], values, starts)


def _candidates(course: _Course) -> list[tuple[int, int, int]]:
    """Two movies and an offset that share at least `MIN_RUNS` runs by their hash."""
    rows = _run_rows(course)
    if not len(rows):
        return []
    pairs = [_equal_runs(course, rows, shift) for shift in (0.0, 0.5)]
    first, second, offset = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    if not len(first):
        return []
    key = _mixed(_mixed(_mixed(np.zeros(len(first), np.uint64), first), second), offset)
    _, rows, counts = np.unique(key, return_index=True, return_counts=True)
    # The same run may be found with both shifts.
    often = np.flatnonzero(counts >= 2 * MIN_RUNS)
    often = often[np.argsort(-counts[often], kind="stable")][:MAX_CANDIDATES]
    best: dict[tuple[int, int], int] = {}
    for row in rows[often].tolist():
        # The most frequent offset of two movies comes first.
        best.setdefault((int(first[row]), int(second[row])), int(offset[row]))
    return [(a, b, by) for (a, b), by in best.items()]


def _run_rows(course: _Course) -> NDArray[np.int64]:
    """First rows of runs: consecutive clips of one movie in which something changes."""
    last = len(course.movie) - RUN_CLIPS + 1
    if last < 1:
        return np.zeros(0, np.int64)
    ahead = slice(RUN_CLIPS - 1, RUN_CLIPS - 1 + last)
    is_run = (course.movie[:last] == course.movie[ahead]) & (
        course.number[ahead] - course.number[:last] == RUN_CLIPS - 1
    )
    rows = np.flatnonzero(is_run)
    varies = np.zeros(len(rows), dtype=bool)
    for column, least in enumerate(_MIN_DEVIATIONS):
        varies |= _windows(course, rows, column).std(axis=1) >= least
    return rows[varies]


def _windows(course: _Course, rows: NDArray[np.int64], column: int) -> NDArray[np.float32]:
    """(num_rows, RUN_CLIPS) values of the runs that begin at these rows."""
    values = np.ascontiguousarray(course.values[:, column])
    return np.lib.stride_tricks.sliding_window_view(values, RUN_CLIPS)[rows]


def _equal_runs(
    course: _Course, rows: NDArray[np.int64], shift: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First movie, second movie and offset of runs with equal hashes."""
    key = np.zeros(len(rows), dtype=np.uint64)
    for column, step in enumerate(_STEPS):
        window = _windows(course, rows, column)
        # Relative to their mean: a copy may be louder or brighter as a whole.
        levels = np.floor((window - window.mean(axis=1, keepdims=True)) / step + shift)
        for place in range(RUN_CLIPS):
            key = _mixed(key, levels[:, place].astype(np.int64))
    order = np.argsort(key, kind="stable")
    key, rows = key[order], rows[order]
    is_rare = np.ones(len(key), dtype=bool)
    if len(key) > _MAX_REPEATS:
        many = np.flatnonzero(key[_MAX_REPEATS:] == key[:-_MAX_REPEATS])
        for ahead in range(_MAX_REPEATS + 1):
            is_rare[many + ahead] = False
    key, rows = key[is_rare], rows[is_rare]
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for ahead in range(1, _MAX_REPEATS):
        equal = np.flatnonzero(key[ahead:] == key[:-ahead])
        parts.append((rows[equal], rows[equal + ahead]))
    left, right = (np.concatenate(side) for side in zip(*parts, strict=True))
    # A stable sort keeps rows, and so movies, in order.
    differs = course.movie[left] != course.movie[right]
    left, right = left[differs], right[differs]
    return course.movie[left], course.movie[right], course.number[right] - course.number[left]


def _mixed(key: NDArray[np.uint64], values: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hashes of what was hashed so far and one more value each."""
    mixed = (key ^ values.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    return mixed ^ (mixed >> np.uint64(29))


def _compare(course: _Course, first: int, second: int, offset: int) -> Lookalike | None:
    """The clips of two movies at an offset; None if too few of them match."""
    sides = [slice(course.starts[movie], course.starts[movie + 1]) for movie in (first, second)]
    numbers = course.number[sides[0]]
    _, left, right = np.intersect1d(
        numbers + offset, course.number[sides[1]], assume_unique=True, return_indices=True
    )
    difference = course.values[sides[0]][left] - course.values[sides[1]][right]
    difference -= np.median(difference, axis=0, keepdims=True)
    matches = (np.abs(difference) <= np.array(_MAX_DIFFERENCES, np.float32)).all(axis=1)
    if matches.sum() < RUN_CLIPS + MIN_RUNS:
        return None
    matched = numbers[left[matches]]
    pair = Lookalike(
        course.names[first],
        course.names[second],
        offset,
        int(matches.sum()),
        len(left),
        int(matched.min()),
        int(matched.max()),
    )
    return pair if pair.is_same or _has_run(matches) else None


def _has_run(matches: NDArray[np.bool_]) -> bool:
    """Whether twice as many clips as in a run match one after the other."""
    length = 2 * RUN_CLIPS
    if len(matches) < length:
        return False
    return bool(np.lib.stride_tricks.sliding_window_view(matches, length).all(axis=1).any())
