"""Bins of the histograms: their edges, their names, and values beyond them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from shards_spec.dataset.browser.figures import NUM_BINS, Histogram, histogram, whole_histogram
from shards_spec.dataset.browser.pages.charts import draw_histogram


def bins(shown: Histogram) -> dict[str, int]:
    """What the drawing says about each bar."""
    found = re.findall(r"<title>(.*?) clips: ([0-9,]+)</title>", draw_histogram(shown))
    return {name: int(number.replace(",", "")) for name, number in found}


@pytest.mark.parametrize(
    "values",
    [[1, 14, 16, 21], [7], [0, 0], [3] * 500 + [90], list(range(1, 42)), [5, 1_000_000], [10**9]],
)
def test_bins_of_counts_are_whole_numbers(values: list[int]) -> None:
    shown = whole_histogram("Clips per movie", "clips", np.array(values, np.int32))
    assert len(shown.counts) <= NUM_BINS + 1
    assert shown.total == len(values)
    named = bins(shown)
    assert sum(named.values()) == len(values)
    for name, number in named.items():
        ends = [int(end.replace(",", "")) for end in re.findall(r"[0-9,]+", name)]
        high = max(values) if name.endswith(" or more") else ends[-1]
        assert number == sum(ends[0] <= value <= high for value in values), name


def test_a_histogram_without_values_is_drawn() -> None:
    assert bins(whole_histogram("Clips per movie", "clips", np.zeros(0, np.int32))) == {}


def test_rare_large_counts_are_in_a_bin_of_their_own() -> None:
    shown = whole_histogram("Clips per movie", "clips", np.array([10] * 500 + [900]))
    assert bins(shown) == {"10": 500, "11 or more": 1}


def test_outer_bins_say_that_they_count_values_beyond_them() -> None:
    drawing = draw_histogram(histogram("Level", "dBFS", np.array([-120.0, -40, 3]), -80.0, 0.0))
    assert "-78 or less dBFS: 1" in drawing
    assert "-2 or more dBFS: 1" in drawing
    assert "-80 or less</text>" in drawing
    assert "0 or more</text>" in drawing
    inside = draw_histogram(histogram("Level", "dBFS", np.array([-80.0, 0.0]), -80.0, 0.0))
    assert "or more" not in inside
    assert "or less" not in inside
