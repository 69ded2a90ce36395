"""Intervals of means over seeds and over movies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trainer.study.by_movie import bootstrap
from trainer.study.findings.intervals import T_975, Interval, t_quantile


def test_quantiles_are_those_of_the_distribution() -> None:
    for place, value in enumerate(T_975):
        assert value == pytest.approx(stats.t.ppf(0.975, place + 1), abs=6e-4)


@pytest.mark.parametrize("degrees", [1, 30, 31, 40, 99, 1000])
def test_the_quantile_holds_beyond_the_table(degrees: int) -> None:
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=6e-4)
    # With 32 runs the normal's 1.96 would be too small.
    assert t_quantile(degrees) > 1.96


def test_interval_by_hand() -> None:
    found = Interval.of([0.2, 0.4, 0.6])
    # Deviation 0.2, over the root of 3, times 4.303.
    assert found.mean == pytest.approx(0.4)
    assert found.high - found.mean == pytest.approx(4.303 * 0.2 / math.sqrt(3))
    assert not found.is_clear
    assert Interval.of([0.5, 0.51, 0.52]).is_clear
    assert math.isnan(Interval.of([0.3]).low)
    assert not Interval.of([0.3]).is_clear
    assert Interval.of([0.3]).text() == "0.300"


def test_movies_without_an_effect_make_it_unclear() -> None:
    steady = [0.2, 0.21, 0.19]
    assert Interval.of(steady).is_clear
    assert Interval.of(steady, (0.1, 0.3)).is_above
    assert not Interval.of(steady, (-0.01, 0.4)).is_clear
    assert Interval.of([-value for value in steady], (-0.3, -0.1)).is_below
    assert "movies -0.010 to +0.400" in Interval.of(steady, (-0.01, 0.4)).text(sign=True)


def test_the_bootstrap_covers_movies_and_seeds() -> None:
    random = np.random.default_rng(1)

    def interval(movie_spread: float, num_movies: int) -> tuple[float, float]:
        effect = 0.1 + movie_spread * random.standard_normal(num_movies)
        before = {f"m{j}": [5.0, 10] for j in range(num_movies)}
        after = {f"m{j}": [5.0 + 10 * effect[j], 10] for j in range(num_movies)}
        found = bootstrap([(before, after)] * 4)
        assert found is not None
        return found

    low, high = interval(0.0, 20)
    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)
    low, high = interval(0.2, 400)
    # 1.96 standard errors of a mean of 400.
    assert high - low == pytest.approx(2 * 1.96 * 0.2 / 20, rel=0.15)
    assert low < 0.1 < high
    seeds = [({"a": [0, 1], "b": [0, 1]}, {"a": [s, 1], "b": [s, 1]}) for s in (0.0, 1.0)]
    assert bootstrap(seeds) == pytest.approx((0.0, 1.0)), "the same in both movies: only seeds"
    assert bootstrap([({"a": [0, 1]}, {"a": [1, 1]})]) is None, "one movie"


def test_the_bootstrap_of_folds_draws_the_movies_of_each_seed() -> None:
    random = np.random.default_rng(2)
    pairs = []
    for seed in range(5):
        effect = 0.1 + 0.2 * random.standard_normal(40)
        before = {f"s{seed}m{j}": [1.0, 2.0] for j in range(40)}
        after = {f"s{seed}m{j}": [1.0 + 2.0 * effect[j], 2.0] for j in range(40)}
        pairs.append((before, after))
    found = bootstrap(pairs)
    assert found is not None
    low, high = found
    assert low < 0.1 < high
    # About 1.96 standard errors of a mean of 200, more for the spread between seeds.
    assert 0.8 < (high - low) / (2 * 1.96 * 0.2 / 200**0.5) < 2.0
    assert bootstrap([pairs[0], ({"x": [0, 1]}, {"x": [1, 1]})]) is None, "a seed with one movie"
