"""Finds which movies of a lock a copy plays, when and how fast: votes of equal parts of words.

Each two equal parts of a word of the lock and a word of the copy are a vote for the time between
them. A copy gets many votes for one time; what has nothing in common gets few for each of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.bands import Bands
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie
from shards_spec.dataset.lockfile.words import num_parts

#: Time between the words of a copy that are looked up, seconds of the copy.
STRIDE_SECONDS = 0.04

#: Votes of one candidate are for times within this much, seconds of the original.
BIN_SECONDS = 0.1

#: Votes of different words that a candidate needs, and candidates of one copy and speed.
MIN_VOTES, MAX_CANDIDATES = 4, 60

#: Equal parts of this many words or more (a constant tone) prove nothing.
_MAX_EQUAL = 64

#: Votes by chance that may be counted for one speed; parts have more bits where there are more.
_MAX_CHANCE = 2e7


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of clips that have a word, of one movie or of all of a lock; arrays are (N,)."""

    words: NDArray[np.uint64]
    seconds: NDArray[np.float64]
    """Start in the original movie."""
    clip: NDArray[np.int64]
    """Row of the clip in its movie."""
    movie: NDArray[np.int64]
    """Number of the movie in the lock."""

    @staticmethod
    def of(lock: Lock, movies: Sequence[LockedMovie]) -> Parts:
        """The parts of movies, in the order of their time."""
        found = [_parts_of(lock, movie) for movie in movies]
        numbers = [np.full(len(words), number) for number, (words, _, _) in enumerate(found)]
        words, seconds, clips = (
            np.concatenate([np.empty(0, kind), *arrays])
            for kind, arrays in zip(
                (np.uint64, np.float64, np.int64), zip(*found, strict=True), strict=True
            )
        )
        return Parts(words, seconds, clips, np.concatenate([np.empty(0, np.int64), *numbers]))

    def __len__(self) -> int:
        return len(self.words)


def _parts_of(
    lock: Lock, movie: LockedMovie
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.int64]]:
    recipe, clips = lock.recipe, movie.clips
    parts = num_parts(recipe)
    length = recipe.num_mel_frames * recipe.hop_samples / recipe.sample_rate_hz / parts
    begins = clips.start_step / float(recipe.fps_fraction)
    seconds = (begins[:, None] + np.arange(parts) * length).ravel()
    words, rows = clips.audio_words.ravel(), np.repeat(np.arange(len(clips)), parts)
    known = np.flatnonzero(words)
    order = known[np.argsort(seconds[known], kind="stable")]
    return words[order], seconds[order], rows[order]


@dataclass(frozen=True)
class Candidate:
    """Second t of a movie may be second (t + offset) / speed of the copy."""

    movie: int
    offset: float
    """Seconds of the original."""
    speed: float
    votes: int


def find_candidates(parts: Parts, bands: Bands, speed: float) -> list[Candidate]:
    """The candidates at one speed, those with the most votes first."""
    times = np.arange(0.0, bands.seconds, STRIDE_SECONDS)
    words = bands.words(times, speed)
    known = np.flatnonzero(words)
    times, words = times[known] * speed, words[known]
    num_pieces, bits = _division(len(words), len(parts))
    votes = []
    for number in range(num_pieces):
        rows, others = _equal(*(_piece(array, number, bits) for array in (parts.words, words)))
        offset = np.rint((times[others] - parts.seconds[rows]) / BIN_SECONDS).astype(np.int64)
        votes.append(np.stack([parts.movie[rows], offset, rows]))
    return _elected(np.unique(np.concatenate(votes, axis=1), axis=1), speed)


def _division(num_words: int, num_parts_of_lock: int) -> tuple[int, int]:
    """How many pieces words are divided into, and their bits."""
    for pieces, bits in ((4, 16), (3, 21)):
        if pieces * num_words * num_parts_of_lock / 2**bits <= _MAX_CHANCE:
            return pieces, bits
    return 2, 32


def _piece(words: NDArray[np.uint64], number: int, bits: int) -> NDArray[np.uint64]:
    mask = np.uint64((1 << bits) - 1)
    return np.asarray((words >> np.uint64(number * bits)) & mask)


def _equal(
    first: NDArray[np.uint64], second: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of all pairs of equal values."""
    order = np.argsort(first, kind="stable")
    low, high = (np.searchsorted(first[order], second, side=side) for side in ("left", "right"))
    counts = np.where(high - low < _MAX_EQUAL, high - low, 0)
    others = np.repeat(np.arange(len(second)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[np.repeat(low, counts) + within], others


def _elected(votes: NDArray[np.int64], speed: float) -> list[Candidate]:
    """`votes` (3, N) sorted: movie, bin, row of the voting part; each once."""
    if not votes.shape[1]:
        return []
    bins, counts = np.unique(votes[:2], axis=1, return_counts=True)
    total = counts.copy()
    is_next = (np.diff(bins[0]) == 0) & (np.diff(bins[1]) == 1)
    total[1:][is_next] += counts[:-1][is_next]
    total[:-1][is_next] += counts[1:][is_next]
    chosen = np.flatnonzero(total >= MIN_VOTES)
    chosen = chosen[np.argsort(-total[chosen], kind="stable")][:MAX_CANDIDATES]
    return [
        Candidate(int(bins[0, i]), float(bins[1, i]) * BIN_SECONDS, speed, int(total[i]))
        for i in chosen
    ]
