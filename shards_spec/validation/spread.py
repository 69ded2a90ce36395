"""How far apart in time the clips of a run stand, beside what a plain random order would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.order import STRATA, run_gaps_ns

#: Random orders drawn per movie, so that the comparison is steady for short movies too.
_NUM_DRAWS = 4


@dataclass(frozen=True)
class Spread:
    """The smallest time between two clips, over all runs of `run_clips` consecutive clips."""

    run_clips: int
    num_runs: int
    smallest_gap_seconds: float
    """Of all runs."""
    median_gap_seconds: float
    """Median over the runs of each run's smallest gap."""
    random_smallest_gap_seconds: float
    """The same for a plain random order of the same clips."""
    random_median_gap_seconds: float


def measure_spread(movies: Iterable[NDArray[np.int64]]) -> Spread | None:
    """The spread over all movies, each given as its clips' `start_ns` in shard order.

    Runs do not cross movies. None when no movie has two clips.
    """
    # Starts lie on a grid, so gaps take few values: counts stay small for any number of clips.
    ours: Counter[int] = Counter()
    random: Counter[int] = Counter()
    rng = np.random.default_rng(0)
    for start_ns in movies:
        _count(ours, start_ns)
        for _ in range(_NUM_DRAWS):
            _count(random, rng.permutation(start_ns))
    if not ours:
        return None
    return Spread(
        run_clips=STRATA,
        num_runs=ours.total(),
        smallest_gap_seconds=min(ours) / 1e9,
        median_gap_seconds=_median(ours) / 1e9,
        random_smallest_gap_seconds=min(random) / 1e9,
        random_median_gap_seconds=_median(random) / 1e9,
    )


def _count(counts: Counter[int], start_ns: NDArray[np.int64]) -> None:
    gaps, numbers = np.unique(run_gaps_ns(start_ns), return_counts=True)
    for gap, number in zip(gaps.tolist(), numbers.tolist(), strict=True):
        counts[gap] += number


def _median(counts: Counter[int]) -> int:
    """The lower median of the counted values."""
    seen, half = 0, (counts.total() + 1) // 2
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    raise AssertionError("no values")
