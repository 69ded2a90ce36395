"""Pairs of movies, and the time between them, that have many equal parts of words.

The words of all movies are cut into parts of a few bits. Each two equal parts in different movies
are a vote for the time between them; copies get many votes for one time, or for a few neighboring
ones. The parts are longer in larger datasets, so that chance gives few votes in any. In a part that
many movies have (black, a logo, the opening of a show), each movie votes with the next few only,
which keeps the number of votes proportional to the number of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.audio import Track
from shards_spec.dataset.fingerprints.words import WORD_BITS, Words

#: Movies after a movie in the list of an equal part that it votes with.
_MAX_AHEAD = 6

#: Votes that a time between two movies needs, its neighbors included.
MIN_VOTES = 3

#: Times between one pair of movies, and all that are checked, those with the most votes.
_MAX_PER_PAIR, MAX_CANDIDATES = 600, 400_000


@dataclass(frozen=True)
class Candidate:
    """Step n of the first movie may show or play what step n + offset of the second does."""

    first: int
    """Number of the movie, below that of the second."""
    second: int
    offset: int
    """In steps."""


def find_candidates(tracks: Sequence[Track]) -> list[Candidate]:
    """The candidates among movies, given by their video or their audio; the most votes first."""
    movie = np.repeat(np.arange(len(tracks), dtype=np.int64), [len(track.step) for track in tracks])
    if len(tracks) < 2 or not len(movie):
        return []
    step = np.concatenate([track.step for track in tracks]).astype(np.int64)
    words = np.concatenate([track.words for track in tracks])
    num_parts = _num_parts(len(words))
    votes = [_votes(_part(words, number, num_parts), movie, step) for number in range(num_parts)]
    first, second, offset = (np.concatenate(columns) for columns in zip(*votes, strict=True))
    return _elected(first, second, offset)


def _num_parts(num_words: int) -> int:
    """Four parts of 16 bits for up to a few hundred movies, then three, then two."""
    if num_words <= 1 << 20:
        return 4
    return 3 if num_words <= 1 << 24 else 2


def _part(words: Words, number: int, num_parts: int) -> Words:
    bits = WORD_BITS // num_parts
    return (words >> np.uint64(number * bits)) & np.uint64((1 << bits) - 1)


def _votes(
    part: Words, movie: NDArray[np.int64], step: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First movie, second movie and offset of each two equal parts in different movies."""
    # A still image counts once.
    is_new = np.append(True, (np.diff(movie) != 0) | (np.diff(step) != 1) | (part[1:] != part[:-1]))
    part, movie, step = part[is_new], movie[is_new], step[is_new]
    order = np.argsort(part, kind="stable")
    part, movie, step = part[order], movie[order], step[order]
    columns: list[list[NDArray[np.int64]]] = [[], [], []]
    for ahead in range(1, _MAX_AHEAD + 1):
        # A stable sort keeps the movies of an equal part in order.
        rows = np.flatnonzero((part[ahead:] == part[:-ahead]) & (movie[ahead:] != movie[:-ahead]))
        columns[0].append(movie[rows])
        columns[1].append(movie[rows + ahead])
        columns[2].append(step[rows + ahead] - step[rows])
    first, second, offset = (np.concatenate(column) for column in columns)
    return first, second, offset


def _elected(
    first: NDArray[np.int64], second: NDArray[np.int64], offset: NDArray[np.int64]
) -> list[Candidate]:
    if not len(first):
        return []
    order = np.lexsort((offset, second, first))
    first, second, offset = first[order], second[order], offset[order]
    is_first = np.append(
        True, (np.diff(first) != 0) | (np.diff(second) != 0) | (np.diff(offset) != 0)
    )
    rows = np.flatnonzero(is_first)
    own = np.diff(np.append(rows, len(first)))
    first, second, offset = first[rows], second[rows], offset[rows]
    total = own.copy()
    is_next = (np.diff(first) == 0) & (np.diff(second) == 0) & (np.diff(offset) == 1)
    total[1:][is_next] += own[:-1][is_next]
    total[:-1][is_next] += own[1:][is_next]
    chosen = np.flatnonzero(total >= MIN_VOTES)
    chosen = chosen[np.argsort(-total[chosen], kind="stable")][:MAX_CANDIDATES]
    counts: dict[tuple[int, int], int] = {}
    candidates = []
    for row in chosen.tolist():
        pair = int(first[row]), int(second[row])
        counts[pair] = counts.get(pair, 0) + 1
        if counts[pair] <= _MAX_PER_PAIR:
            candidates.append(Candidate(*pair, int(offset[row])))
    return candidates
