"""The order of a movie's clips in its shards: random, yet every short run is spread over the movie.

A trainer reads runs of consecutive clips with one request. In a plain random order two clips of a
run are often neighbours in time, near-duplicates that make useless (or false) negatives. Here the
movie is cut into `STRATA` stretches of time; each block of `STRATA` places takes one clip from each
of them, in random order, and keeps a distance to the clips placed just before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Length of the runs that are kept spread.
STRATA = 16


def stratified_order(num_clips: int, seed: int) -> NDArray[np.int64]:
    """A permutation of range(num_clips) in which every run of 16 is spread over the range.

    Pure in its arguments: the same numbers give the same order on every machine. Clip numbers count
    as time. The distance aimed at inside a run is num_clips / 24; for a place at which no clip that
    is left keeps it, it is lowered by a fifth until one does.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    stratum = np.arange(num_clips, dtype=np.int64) * STRATA // max(num_clips, 1)
    # One random key per clip decides within what the rules leave open.
    keys = rng.random(num_clips)
    free = np.ones(num_clips, dtype=bool)
    used = np.zeros(STRATA, dtype=bool)
    order = np.empty(num_clips, dtype=np.int64)
    numbers = np.arange(num_clips, dtype=np.int64)
    for place in range(num_clips):
        open_ = free & ~used[stratum]
        if not open_.any():
            used[:] = False
            open_ = free
        recent = order[max(0, place - STRATA + 1) : place]
        chosen = _pick(open_, recent, numbers, keys, num_clips // 24)
        order[place] = chosen
        free[chosen] = False
        used[stratum[chosen]] = True
    return order


def _pick(
    open_: NDArray[np.bool_],
    recent: NDArray[np.int64],
    numbers: NDArray[np.int64],
    keys: NDArray[np.float64],
    distance: int,
) -> int:
    """The open clip of least key at `distance` from the recent ones; lowered until one is."""
    while distance > 1:
        allowed = open_.copy()
        for clip in recent:
            allowed[max(0, clip - distance + 1) : clip + distance] = False
        if allowed.any():
            open_ = allowed
            break
        distance = distance * 4 // 5
    candidates = numbers[open_]
    return int(candidates[np.argmin(keys[candidates])])


def run_gaps_ns(start_ns: NDArray[np.int64], run: int = STRATA) -> NDArray[np.int64]:
    """For each run of `run` consecutive clips, the smallest time between two of them.

    Args:
        start_ns: (N,) clip starts in shard order.
        run: clips per run; with fewer clips in all, there is one shorter run.

    Returns:
        (max(1, N - run + 1),) nanoseconds; empty when N < 2.
    """
    if len(start_ns) < 2:
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(start_ns, min(run, len(start_ns)))
    gaps: NDArray[np.int64] = np.diff(np.sort(windows, axis=1), axis=1).min(axis=1)
    return gaps
