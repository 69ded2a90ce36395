"""Clips that follow each other in a movie without a gap, to be joined into longer ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def joined_neighbors(
    row: Ints, movie: NDArray[np.int32], start_ns: Ints, end_ns: Ints, num_joined: int
) -> Ints:
    """(E, num_joined) rows: each clip with the clips that follow it directly.

    Args:
        row: rows of the eligible clips, ascending.
        movie: movie of every row of the table.
        start_ns: start of every row on its movie's timeline.
        end_ns: end of every row; the next clip starts exactly there.
        num_joined: clips that are joined, at least 1. Clips without so many are left out.
    """
    if num_joined == 1:
        return row[:, None]
    in_time = row[np.lexsort((start_ns[row], movie[row]))]
    num_chains = len(in_time) - num_joined + 1
    if num_chains < 1:
        return np.empty((0, num_joined), dtype=np.int64)
    follows = (movie[in_time[1:]] == movie[in_time[:-1]]) & (
        start_ns[in_time[1:]] == end_ns[in_time[:-1]]
    )
    whole = np.ones(num_chains, dtype=bool)
    for step in range(num_joined - 1):
        whole &= follows[step : step + num_chains]
    firsts = np.flatnonzero(whole)
    chains = in_time[firsts[:, None] + np.arange(num_joined)]
    ordered: Ints = chains[np.argsort(chains[:, 0])]
    return ordered
