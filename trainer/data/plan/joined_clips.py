"""Joins consecutive clips of a movie into longer ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import PolicyError

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

    Raises:
        PolicyError: no clip has so many followers.
    """
    if num_joined == 1:
        return row[:, None]
    in_time = row[np.lexsort((start_ns[row], movie[row]))]
    num_chains = max(0, len(in_time) - num_joined + 1)
    follows = (movie[in_time[1:]] == movie[in_time[:-1]]) & (
        start_ns[in_time[1:]] == end_ns[in_time[:-1]]
    )
    whole = np.ones(num_chains, dtype=bool)
    for step in range(num_joined - 1):
        whole &= follows[step : step + num_chains]
    firsts = np.flatnonzero(whole)
    if not len(firsts):
        raise PolicyError(
            f"no eligible clip of {len(np.unique(movie[row]))} movies is followed by "
            f"{num_joined - 1} others without a gap; lower joined_clips, or preprocess without "
            "overlap and with fewer dropped clips"
        )
    chains = in_time[firsts[:, None] + np.arange(num_joined)]
    ordered: Ints = chains[np.argsort(chains[:, 0])]
    return ordered
