"""Finds which movies of a lock a copy plays, when and how fast, by votes of equal word pieces.

Whenever a word of the lock and a word of the copy share a piece, that is a vote for the time
between them. A copy gets many votes for one time; an unrelated movie gets few for each of many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.lookup import DIVISIONS, Lookup
from shards_spec.dataset.lockfile.lock import Lock, LockedMovie
from shards_spec.dataset.lockfile.words import FRAMES_PER_CLIP, num_parts
from shards_spec.recipe import Recipe

#: Time between the words of a copy to look up, seconds of the copy.
STRIDE_SECONDS = 0.04

#: Votes of one candidate are for times within this much, seconds of the original.
BIN_SECONDS = 0.1

#: Votes of different words that a candidate needs, and candidates of one copy and speed.
MIN_VOTES, MAX_CANDIDATES = 4, 60

#: Bits of a bin's number in a vote, and the number of the bin at 0 s; enough for weeks.
_BIN_BITS, _BIN_ZERO = 26, 1 << 25

#: Limit of chance votes per speed; beyond it, pieces get more bits.
_MAX_CHANCE = 2e7


class WordSource(Protocol):
    """A copy's audio or video, as words at any time and speed."""

    @property
    def seconds(self) -> float:
        """Length of the copy."""

    @property
    def settings(self) -> Settings:
        """How its words are compared."""

    def words(self, seconds: NDArray[np.float64], speed: float) -> NDArray[np.uint64]:
        """(N,) words at these times of the copy; 0 for none.

        `speed` is how many seconds of the original one second of the copy plays.
        """


@dataclass(frozen=True, eq=False)
class Settings:
    """How words of one kind, of audio or of video, are compared."""

    part_seconds: float
    """Length of the part of the original that one word describes."""
    missing_bits: float
    """Cost of a part that the copy does not play, bits: between those of equal and of unrelated
    words."""
    shifts: NDArray[np.float64]
    """Offsets to try, seconds from a known one; evenly spaced around 0."""
    change_seconds: float
    """Offsets before and after a cut differ by at least this, seconds."""
    snap_speed: float
    """A measured speed within this relative difference of a known one counts as the known one."""
    spacing_bins: int
    """Candidates are at least this many bins apart."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Everything with a word, of one movie or a whole lock, in order of time; arrays are (N,)."""

    words: NDArray[np.uint64]
    seconds: NDArray[np.float64]
    """Start in the original movie."""
    clip: NDArray[np.int32]
    """Row of the clip in its movie."""
    movie: NDArray[np.int32]
    """Number of the movie in the lock."""

    @staticmethod
    def of_audio(lock: Lock, movies: Sequence[LockedMovie]) -> Parts:
        """The parts of clips whose audio has a word."""
        recipe, count = lock.recipe, num_parts(lock.recipe)
        length = recipe.num_mel_frames * recipe.hop_samples / recipe.sample_rate_hz / count
        times = np.arange(count) * length
        return _joined([_parts(recipe, movie, movie.clips.audio_words, times) for movie in movies])

    @staticmethod
    def of_video(lock: Lock, movies: Sequence[LockedMovie]) -> Parts:
        """The frames of clips that have a word."""
        recipe = lock.recipe
        last = (recipe.num_frames - 1) / float(recipe.fps_fraction)
        times = np.linspace(0.0, last, FRAMES_PER_CLIP)
        return _joined([_parts(recipe, movie, movie.clips.frame_words, times) for movie in movies])

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def lookup(self) -> Lookup:
        """Their words by piece."""
        return Lookup(self.words)


_Columns = tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.int32]]


def _parts(
    recipe: Recipe,
    movie: LockedMovie,
    words: NDArray[np.uint64],
    times: NDArray[np.floating],
) -> _Columns:
    """Words, seconds and clips of a movie, from (N, P) words and their (P,) times in a clip."""
    begins = movie.clips.start_step / float(recipe.fps_fraction)
    seconds = (begins[:, None] + times).ravel()
    rows = np.repeat(np.arange(len(movie.clips), dtype=np.int32), len(times))
    known = np.flatnonzero(words)
    order = known[np.argsort(seconds[known], kind="stable")]
    return words.ravel()[order], seconds[order], rows[order]


def _joined(movies: Sequence[_Columns]) -> Parts:
    lengths = [len(words) for words, _, _ in movies]
    words, seconds, clips = (
        np.concatenate([np.empty(0, kind), *(movie[column] for movie in movies)])
        for column, kind in enumerate((np.uint64, np.float64, np.int32))
    )
    return Parts(words, seconds, clips, np.repeat(np.arange(len(movies), dtype=np.int32), lengths))


@dataclass(frozen=True)
class Candidate:
    """Second t of a movie may be second (t + offset) / speed of the copy."""

    movie: int
    offset: float
    """Seconds of the original."""
    speed: float
    votes: int


def find_candidates(parts: Parts, source: WordSource, speed: float) -> list[Candidate]:
    """The candidates at one speed, those with the most votes first."""
    times = np.arange(0.0, source.seconds, STRIDE_SECONDS)
    words = source.words(times, speed)
    known = np.flatnonzero(words)
    times, words = times[known] * speed, words[known]
    num_pieces, bits = _division(len(words), len(parts))
    votes = []
    for number in range(num_pieces):
        rows, others = parts.lookup.pairs(words, number, bits)
        bins = np.rint((times[others] - parts.seconds[rows]) / BIN_SECONDS).astype(np.int64)
        votes.append((rows << _BIN_BITS) + bins + _BIN_ZERO)
    # A part has one vote per time.
    voted = np.unique(np.concatenate(votes))
    movie = parts.movie[voted >> _BIN_BITS].astype(np.int64)
    ballots = np.sort((movie << _BIN_BITS) + (voted & (2 * _BIN_ZERO - 1)))
    return _elected(ballots, speed, source.settings.spacing_bins)


def _division(num_words: int, num_parts_of_lock: int) -> tuple[int, int]:
    """How many pieces words are divided into, and their bits."""
    for pieces, bits in DIVISIONS[:-1]:
        if pieces * num_words * num_parts_of_lock / 2**bits <= _MAX_CHANCE:
            return pieces, bits
    return DIVISIONS[-1]


def _elected(ballots: NDArray[np.int64], speed: float, spacing: int) -> list[Candidate]:
    """Candidates from the sorted votes, each with the movie in its high bits and then the bin."""
    if not len(ballots):
        return []
    firsts = np.flatnonzero(np.append(True, np.diff(ballots) != 0))
    counts = np.diff(np.append(firsts, len(ballots)))
    movie = ballots[firsts] >> _BIN_BITS
    offset = (ballots[firsts] & (2 * _BIN_ZERO - 1)) - _BIN_ZERO
    total = counts.copy()
    is_next = (np.diff(movie) == 0) & (np.diff(offset) == 1)
    total[1:][is_next] += counts[:-1][is_next]
    total[:-1][is_next] += counts[1:][is_next]
    chosen = np.flatnonzero(total >= MIN_VOTES)
    chosen = chosen[np.argsort(-total[chosen], kind="stable")]
    elected: list[Candidate] = []
    taken: dict[int, list[int]] = {}
    for row in chosen.tolist():
        bins = taken.setdefault(int(movie[row]), [])
        if any(abs(int(offset[row]) - other) < spacing for other in bins):
            continue
        bins.append(int(offset[row]))
        seconds = float(offset[row]) * BIN_SECONDS
        elected.append(Candidate(int(movie[row]), seconds, speed, int(total[row])))
        if len(elected) == MAX_CANDIDATES:
            break
    return elected
