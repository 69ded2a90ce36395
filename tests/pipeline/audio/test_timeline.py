"""Aligning audio by synthetic frame times: what must move, and what must not."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.timeline import ANCHOR_SECONDS, STEADY_SECONDS, AudioFrame, Piece, align

RATES = st.sampled_from([16_000, 44_100, 48_000])
COUNTS = st.sampled_from([480, 1_024, 1_152, 1_536, 4_096])


def frames_at(
    times: Sequence[float] | NDArray[np.float64], count: int, rate: int
) -> list[AudioFrame]:
    return [AudioFrame(round(float(time) * rate), count) for time in times]


def steady(seconds: float, count: int, rate: int) -> NDArray[np.float64]:
    """True times of frames, back to back."""
    return np.arange(int(seconds * rate / count)) * (count / rate)


def placed(pieces: Iterable[Piece], firsts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where the pieces place samples, in samples of the timeline."""
    known = list(pieces)
    number = np.searchsorted([piece.first for piece in known], firsts, side="right") - 1
    start = np.array([piece.start for piece in known])[number]
    begin = np.array([piece.first for piece in known])[number]
    speed = np.array([piece.length / piece.count for piece in known])[number]
    return start + (firsts - begin) * speed


def worst_error_seconds(
    pieces: Sequence[Piece], times: NDArray[np.float64], count: int, rate: int
) -> float:
    found = placed(pieces, np.arange(len(times)) * count) / rate
    return float(np.abs(found - times).max())


@given(
    RATES, COUNTS, st.floats(-3, 3), st.sampled_from([0.0, 1 / 90_000, 0.001]), st.integers(0, 99)
)
@settings(max_examples=30, deadline=None)
def test_rounding_moves_no_sample(
    rate: int, count: int, start: float, tick: float, seed: int
) -> None:
    times = start + steady(40, count, rate)
    file_times = np.round(times / tick) * tick if tick else times
    pieces = list(align(frames_at(file_times, count, rate), rate))
    assert [piece.length for piece in pieces] == [piece.count for piece in pieces]
    assert all(a.start + a.length == b.start for a, b in itertools.pairwise(pieces))
    assert worst_error_seconds(pieces, times, count, rate) <= tick / 2 + 1 / rate


@given(
    COUNTS, st.lists(st.tuples(st.integers(50, 900), st.sampled_from([-250, -30, -6, 6, 30, 250])))
)
@settings(max_examples=30, deadline=None)
def test_steps_are_found_where_they_are(count: int, wishes: list[tuple[int, int]]) -> None:
    rate = 48_000
    times = steady(1_000 * count / rate, count, rate)
    steps = dict.fromkeys((place // 50 * 50 for place, _ in wishes), 0)
    steps |= {place // 50 * 50: milliseconds for place, milliseconds in wishes}
    for place_, milliseconds in steps.items():
        times[place_:] += milliseconds / 1000
    file_times = np.round(times, 3)
    pieces = list(align(frames_at(file_times, count, rate), rate))
    jumps = [
        (b.first // count, round((b.start - a.start - a.length) / 48))
        for a, b in itertools.pairwise(pieces)
        if a.start + a.length != b.start
    ]
    assert [at for at, _ in jumps] == sorted(steps)
    assert all(abs(found - steps[at]) <= 1 for at, found in jumps)
    assert worst_error_seconds(pieces, times, count, rate) <= 1e-3


@given(COUNTS, st.floats(-2e-3, 2e-3), st.sampled_from([0.0, 0.001]))
@settings(max_examples=20, deadline=None)
def test_drift_stays_below_a_millisecond(count: int, drift: float, tick: float) -> None:
    rate = 48_000
    times = steady(120, count, rate) * (1 + drift)
    file_times = np.round(times / tick) * tick if tick else times
    pieces = list(align(frames_at(file_times, count, rate), rate))
    assert worst_error_seconds(pieces, times, count, rate) <= 1e-3
    assert all(a.start + a.length == b.start for a, b in itertools.pairwise(pieces))


def test_a_wandering_clock_is_followed() -> None:
    count, rate = 1_024, 48_000
    times = steady(1_200, count, rate)
    times = times + 0.05 * np.sin(2 * np.pi * times / 600)
    pieces = list(align(frames_at(np.round(times, 3), count, rate), rate))
    assert worst_error_seconds(pieces, times, count, rate) <= 1e-3


@pytest.mark.slow
def test_two_hours_with_gaps_drift_and_rounding() -> None:
    count, rate = 1_024, 48_000
    times = steady(7_200, count, rate) * (1 - 3e-4)
    for at, length in ((700, 0.021), (701, 0.3), (3_000, 12.0), (5_000, -0.4)):
        times[times > at] += length
    pieces = list(align(frames_at(np.round(times, 3), count, rate), rate))
    assert worst_error_seconds(pieces, times, count, rate) <= 1e-3
    assert sum(a.start + a.length != b.start for a, b in itertools.pairwise(pieces)) == 4


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(-(10**6), 10**7)), st.integers(0, 5_000)))
)
@settings(max_examples=200, deadline=None)
def test_every_sample_is_placed_once_for_any_times(
    file_times: list[tuple[int | None, int]],
) -> None:
    pieces = list(align([AudioFrame(pts, count) for pts, count in file_times], 48_000))
    total = sum(count for _, count in file_times)
    assert sum(piece.count for piece in pieces) == total
    position = 0
    for piece in pieces:
        assert piece.first == position
        assert piece.length > 0
        position += piece.count


def test_frames_without_times_follow_the_previous_frame() -> None:
    frames = [AudioFrame(4_800, 1_000), *[AudioFrame(None, 1_000)] * 200]
    (piece,) = align(frames, 48_000)
    assert piece == Piece(0, 201_000, 4_800, 201_000)
    (piece,) = align([AudioFrame(None, 1_000)] * 10, 48_000)
    assert piece.start == 0


def test_constant_times_are_not_trusted() -> None:
    pieces = list(align([AudioFrame(0, 1_024)] * 3_000, 48_000))
    assert sum(piece.length for piece in pieces) == 3_000 * 1_024


def test_a_few_wrong_times_are_ignored() -> None:
    frames = frames_at(steady(60, 1_024, 48_000), 1_024, 48_000)
    frames[500:504] = [AudioFrame((frame.pts or 0) + 9_999, 1_024) for frame in frames[500:504]]
    pieces = list(align(frames, 48_000))
    assert {piece.start - piece.first for piece in pieces} == {0}


def test_no_frames_yield_no_pieces() -> None:
    assert list(align([], 48_000)) == []


def test_reads_ahead_by_at_most_half_a_minute() -> None:
    read = 0

    def frames() -> Iterator[AudioFrame]:
        nonlocal read
        for number in range(60_000):
            read += 1
            yield AudioFrame(number * 1_024, 1_024)

    for piece in align(frames(), 48_000):
        ahead = read * 1_024 - piece.first
        assert ahead <= (2 * ANCHOR_SECONDS + 2) * 48_000


@pytest.mark.parametrize("jitter_seconds", [0.001, 0.005])
def test_noise_hardly_moves_a_sample(jitter_seconds: float) -> None:
    count, rate = 960, 48_000
    times = steady(300, count, rate)
    noise = np.random.default_rng(3).normal(0, jitter_seconds, len(times))
    pieces = list(align(frames_at(times + noise, count, rate), rate))
    assert worst_error_seconds(pieces, times, count, rate) <= STEADY_SECONDS + 0.1 * jitter_seconds
    assert all(a.start + a.length == b.start for a, b in itertools.pairwise(pieces))
