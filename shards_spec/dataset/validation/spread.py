"""How far apart in time the clips of a run are, compared with a plain random order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.order import STRATA, run_gaps_ns

#: Random orders drawn per movie, so that the comparison is stable for short movies too.
_NUM_DRAWS = 4


@dataclass(frozen=True)
class Spread:
    """Smallest time between two clips of a run, over all runs of `run_clips` consecutive clips."""

    run_clips: int
    num_runs: int
    smallest_gap_seconds: float
    """Minimum over all runs."""
    median_gap_seconds: float
    """Median over all runs."""
    random_smallest_gap_seconds: float
    """The same for a plain random order of the same clips."""
    random_median_gap_seconds: float


def measure_spread(movies: Iterable[NDArray[np.int64]]) -> Spread | None:
    """The spread of all movies; each is an array of its clips' `start_ns` in shard order.

    Runs do not cross movies. None if no movie has two clips.
    """
    # Starts lie on a grid, so gaps have few distinct values: the counts stay small.
    actual: Counter[int] = Counter()
    random: Counter[int] = Counter()
    rng = np.random.default_rng(0)
    for start_ns in movies:
        _count(actual, start_ns)
        for _ in range(_NUM_DRAWS):
            _count(random, rng.permutation(start_ns))
    if not actual:
        return None
    return Spread(
        run_clips=STRATA,
        num_runs=actual.total(),
        smallest_gap_seconds=min(actual) / 1e9,
        median_gap_seconds=_median(actual) / 1e9,
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
