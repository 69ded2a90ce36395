"""Means with their 95 % intervals.

Two kinds, because two things vary. By Student's t over the seeds: training again on the same
movies. By bootstrap over seeds and movies, for differences: other held-out movies as well. With few
seeds the first is the wider one (a bootstrap of 3 seeds sees too little of their spread), with
many the second; something is called clear only if both exclude zero. Training movies are the same
in all runs, so no interval covers others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Quantile 0.975 of Student's t by degrees of freedom, from 1. Any table of the distribution has
#: them.
T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)

#: Quantile 0.975 of the normal distribution.
Z_975 = 1.959964


def t_quantile(degrees: int) -> float:
    """Quantile 0.975 of Student's t: from the table, beyond it by the expansion in 1 / degrees
    (Abramowitz and Stegun, 26.7.5), which errs by less than 1e-5 there."""
    if degrees <= len(T_975):
        return T_975[degrees - 1]
    z, n = Z_975, degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over seeds with its 95 % intervals, NaN where there is none."""

    mean: float
    low: float
    """Over seeds; NaN with one seed."""
    high: float
    values: list[float]
    """Of the seeds."""
    movie_low: float = math.nan
    """Over seeds and movies; for differences only."""
    movie_high: float = math.nan

    @staticmethod
    def of(values: Sequence[float], over_movies: tuple[float, float] | None = None) -> Interval:
        """Student's t over at least one value; the interval over movies is given."""
        mean, count = sum(values) / len(values), len(values)
        movie_low, movie_high = over_movies or (math.nan, math.nan)
        reach = math.nan
        if count > 1:
            variance = sum((value - mean) ** 2 for value in values) / (count - 1)
            reach = t_quantile(count - 1) * math.sqrt(variance / count)
        return Interval(
            mean=mean,
            low=mean - reach,
            high=mean + reach,
            values=list(values),
            movie_low=movie_low,
            movie_high=movie_high,
        )

    @property
    def is_above(self) -> bool:
        """Whether both intervals are above zero; a missing one counts as above zero, but
        that over seeds has to exist."""
        return self.low > 0 and not self.movie_low <= 0

    @property
    def is_below(self) -> bool:
        """Whether both intervals are below zero."""
        return self.high < 0 and not self.movie_high >= 0

    @property
    def is_clear(self) -> bool:
        """Whether both intervals exclude zero."""
        return self.is_above or self.is_below

    def text(self, *, sign: bool = False) -> str:
        """`0.61 (0.55 to 0.67)`, and `; movies 0.50 to 0.70` in the parentheses where known."""
        form = "+.3f" if sign else ".3f"
        parts = []
        if not math.isnan(self.low):
            parts.append(f"{self.low:{form}} to {self.high:{form}}")
        if not math.isnan(self.movie_low):
            parts.append(f"movies {self.movie_low:{form}} to {self.movie_high:{form}}")
        return f"{self.mean:{form}}" + (f" ({'; '.join(parts)})" if parts else "")
