"""The order of a movie's clips in its shards: random, but every short run is spread over the movie.

A trainer reads runs of consecutive clips with one request. In a plain random order, two clips of a
run are often close in time: near-duplicates, which are useless or false negatives. Here the movie
is divided into `STRATA` time ranges (strata). Each block of `STRATA` positions takes one clip from
every stratum, in random order and at a minimum distance from the clips just before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Length of the runs that are spread over the movie, in clips; also the number of strata.
STRATA = 16


def stratified_order(num_clips: int, seed: int) -> NDArray[np.int64]:
    """A permutation of range(num_clips) in which every run of 16 is spread over the range.

    A pure function: equal arguments give the same order on every machine. Clip numbers stand for
    time. The target distance within a run is num_clips / 24. If no remaining clip is that far away,
    the distance is reduced by a fifth until one is.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    stratum = np.arange(num_clips, dtype=np.int64) * STRATA // max(num_clips, 1)
    # Of the clips that the rules allow, the one with the lowest random key is chosen.
    keys = rng.random(num_clips)
    free = np.ones(num_clips, dtype=bool)
    used = np.zeros(STRATA, dtype=bool)
    order = np.empty(num_clips, dtype=np.int64)
    numbers = np.arange(num_clips, dtype=np.int64)
    for position in range(num_clips):
        candidates = free & ~used[stratum]
        if not candidates.any():
            used[:] = False
            candidates = free
        recent = order[max(0, position - STRATA + 1) : position]
        chosen = _pick(candidates, recent, numbers, keys, num_clips // 24)
        order[position] = chosen
        free[chosen] = False
        used[stratum[chosen]] = True
    return order


def _pick(
    candidates: NDArray[np.bool_],
    recent: NDArray[np.int64],
    numbers: NDArray[np.int64],
    keys: NDArray[np.float64],
    distance: int,
) -> int:
    """Candidate of the lowest key at least `distance` from recent clips; less if there is none."""
    while distance > 1:
        allowed = candidates.copy()
        for clip in recent:
            allowed[max(0, clip - distance + 1) : clip + distance] = False
        if allowed.any():
            candidates = allowed
            break
        distance = distance * 4 // 5
    allowed_numbers = numbers[candidates]
    return int(allowed_numbers[np.argmin(keys[allowed_numbers])])


def run_gaps_ns(start_ns: NDArray[np.int64], run: int = STRATA) -> NDArray[np.int64]:
    """Smallest time between any two clips, for each run of `run` consecutive clips.

    Args:
        start_ns: (N,) start of each clip, in shard order.
        run: clips per run; if there are fewer clips, all of them form one run.

    Returns:
        (max(1, N - run + 1),) nanoseconds; empty if N < 2.
    """
    if len(start_ns) < 2:
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(start_ns, min(run, len(start_ns)))
    gaps: NDArray[np.int64] = np.diff(np.sort(windows, axis=1), axis=1).min(axis=1)
    return gaps
