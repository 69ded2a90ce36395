"""Which frames may be left out of the decoder, and how ffmpeg is told: pure functions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.probe.disposable.h264_sequence import parse_h264_sequence
from pipeline.probe.disposable.units import EncodedFrame, Kind, examine
from pipeline.video.selective.expression import MAX_WORDS, WORD_BITS, expression
from pipeline.video.selective.selection import (
    RunSelection,
    Selection,
    last_ones,
    unneeded,
)

H264_SEI, H264_SEQUENCE, H264_DELIMITER = b"\x06\x05", b"\x67\x64", b"\x09\xf0"
H264_REFERENCED, H264_UNREFERENCED, H264_IDR = b"\x41\x9a", b"\x01\x9e", b"\x65\x88"
#: Trailing frames, to which none of their layer refers (0) and to which some may (1).
HEVC_UNREFERENCED, HEVC_REFERENCED = b"\x00\x01", b"\x02\x01"
HEVC_LAYER_2 = b"\x00\x03"


def _frame(*units: bytes) -> bytes:
    return b"".join((len(unit) + 9).to_bytes(4, "big") + unit + bytes(9) for unit in units)


def _examined(codec: str, data: bytes, before: int = 5, size: int | None = None) -> EncodedFrame:
    file = bytes(before) + data + b"\xff" * 40
    return examine(codec, lambda a, b: file[a:b], before, len(data) if size is None else size)


@pytest.mark.parametrize(
    ("codec", "units", "kind"),
    [
        ("h264", [H264_UNREFERENCED], Kind.UNREFERENCED),
        ("h264", [H264_DELIMITER, H264_SEI, H264_UNREFERENCED], Kind.UNREFERENCED),
        ("h264", [H264_UNREFERENCED, H264_UNREFERENCED], Kind.UNREFERENCED),
        ("h264", [H264_UNREFERENCED, H264_REFERENCED], Kind.REFERENCED),
        ("h264", [H264_REFERENCED], Kind.REFERENCED),
        ("h264", [H264_IDR], Kind.REFERENCED),
        # An IDR that claims that none refers to it.
        ("h264", [b"\x05\x88"], Kind.REFERENCED),
        # A picture parameter set, slices in partitions, an unknown unit.
        ("h264", [b"\x08\xee", H264_UNREFERENCED], Kind.REFERENCED),
        ("h264", [b"\x02\xee", b"\x03\xee"], Kind.REFERENCED),
        ("h264", [H264_UNREFERENCED, b"\x18\xee"], Kind.REFERENCED),
        ("h264", [H264_SEI], Kind.REFERENCED),
        ("h264", [b"\x81\x9e"], Kind.UNREADABLE),
        ("hevc", [HEVC_UNREFERENCED], Kind.UNREFERENCED),
        ("hevc", [b"\x46\x01", b"\x4e\x01", HEVC_UNREFERENCED], Kind.UNREFERENCED),
        ("hevc", [HEVC_REFERENCED], Kind.REFERENCED),
        # A keyframe, and a frame with a parameter set.
        ("hevc", [b"\x26\x01"], Kind.REFERENCED),
        ("hevc", [b"\x44\x01", HEVC_UNREFERENCED], Kind.REFERENCED),
        # Another view or an enhancement; temporal layer 0 - 1.
        ("hevc", [b"\x00\x09"], Kind.UNREADABLE),
        ("hevc", [b"\x00\x00"], Kind.UNREADABLE),
    ],
)
def test_kinds_of_frames(codec: str, units: list[bytes], kind: Kind) -> None:
    assert _examined(codec, _frame(*units)).kind is kind


def test_temporal_layers() -> None:
    found = _examined("hevc", _frame(b"\x4e\x01", HEVC_LAYER_2))
    assert (found.kind, found.layer) == (Kind.UNREFERENCED, 2)
    assert _examined("hevc", _frame(HEVC_REFERENCED)).layer == 0


@pytest.mark.parametrize(
    ("codec", "units", "is_plain", "is_reset"),
    [
        ("h264", [H264_SEI, H264_REFERENCED], True, False),
        ("h264", [H264_REFERENCED, H264_REFERENCED], True, False),
        ("h264", [H264_DELIMITER, H264_IDR, H264_IDR], True, True),
        # Parameters before and after the picture, no picture.
        ("h264", [b"\x08\xee", H264_REFERENCED], False, False),
        ("h264", [H264_REFERENCED, b"\x08\xee"], False, False),
        ("h264", [H264_SEQUENCE, H264_IDR], False, True),
        ("h264", [H264_SEI], False, False),
        # With and without leading frames; a keyframe whose leading frames refer to earlier ones.
        ("hevc", [b"\x26\x01"], True, True),
        ("hevc", [b"\x28\x01"], True, True),
        ("hevc", [b"\x2a\x01"], True, False),
        ("hevc", [b"\x44\x01", b"\x26\x01"], False, True),
    ],
)
def test_what_a_packet_holds(
    codec: str, units: list[bytes], is_plain: bool, is_reset: bool
) -> None:
    found = _examined(codec, _frame(*units))
    assert (found.is_plain, found.is_reset) == (is_plain, is_reset)


def test_frames_between_the_last_needed_one_and_a_reset() -> None:
    needed = np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0], np.bool_)
    resets = np.array([0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], np.bool_)
    found, groups = last_ones(needed, resets)
    # The reset at 4 stays, though nothing after it is needed.
    assert np.flatnonzero(found).tolist() == [3, 5, 10]
    assert groups.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2]


def test_frames_before_a_reset_are_left_out_together_or_not_at_all() -> None:
    pts = np.arange(6) * 10
    left_out = np.array([0, 1, 0, 1, 1, 0], np.bool_)
    selection = Selection(pts, left_out, np.array([0, 10, 20, 40, 40, 50]), 0, 10)
    whole, cut = selection.of_run(0, 50), selection.of_run(0, 40)
    assert whole is not None
    assert whole.left_out == {10, 30, 40}
    assert cut is not None
    assert cut.left_out == {10}


def test_where_the_sequence_parameters_are() -> None:
    data = _frame(H264_DELIMITER, H264_SEQUENCE, H264_IDR)
    ((start, end),) = _examined("h264", data, before=0).kept
    assert data[start:end] == H264_SEQUENCE + bytes(9)


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=80), st.integers(0, 90), st.sampled_from(["h264", "hevc"]))
def test_any_bytes_are_examined(data: bytes, size: int, codec: str) -> None:
    assert _examined(codec, data, size=size).kind in Kind


@pytest.mark.parametrize("cut", [1, 5, -1])
def test_a_frame_that_is_not_as_long_as_its_packet(cut: int) -> None:
    data = _frame(H264_SEI, H264_UNREFERENCED)
    assert _examined("h264", data, size=len(data) - cut).kind is Kind.UNREADABLE


def test_a_frame_of_very_many_units() -> None:
    assert _examined("h264", _frame(*[H264_SEI] * 300, H264_UNREFERENCED)).kind is Kind.UNREADABLE


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=60))
def test_any_sequence_parameters(data: bytes) -> None:
    found = parse_h264_sequence(b"\x67" + data)
    assert found is None or found.is_safe in (True, False)


def _meaning(text: str, pts: int) -> bool:
    """What ffmpeg makes of an expression, in Python."""
    stored: dict[int, float] = {}

    def store(number: int, value: float) -> float:
        stored[number] = value
        return value

    functions: dict[str, Any] = {
        "choose": lambda condition, yes, no: yes if condition else no,
        "between": lambda value, low, high: low <= value <= high,
        "st": store,
        "ld": lambda number: stored[number],
        "floor": lambda value: value // 1,
        "lt": lambda one, other: one < other,
        "gt": lambda one, other: one > other,
        "mod": lambda one, other: one % other,
        "pow": lambda one, other: one**other,
        "bitand": lambda one, other: int(one) & int(other),
        "pts": float(pts),
    }
    return bool(eval(text.replace("if(", "choose("), {"__builtins__": {}}, functions))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 1500), min_size=1, max_size=40, unique=True),
    st.integers(1, 5000),
    st.integers(-(10**6), 10**9),
    st.data(),
)
def test_the_expression_names_these_packets_only(
    numbers: list[int], step: int, first: int, data: st.DataObject
) -> None:
    numbers.sort()
    jitter = data.draw(st.integers(0, step - 1))
    left_out = np.array([first + number * step for number in numbers])
    left_out[1:] += jitter
    text = expression(left_out, step)
    for pts in left_out.tolist():
        assert _meaning(text, pts)
    others = {first + number * step for number in range(-2, 1503)} - set(left_out.tolist())
    few = sorted(others)[:: max(1, len(others) // 20)]
    few = [pts for pts in few if np.abs(left_out - pts).min() >= step]
    assert not any(_meaning(text, pts) for pts in few)


def test_the_longest_expression_fits_into_an_argument() -> None:
    numbers = np.arange(MAX_WORDS * WORD_BITS)
    assert len(expression(10**12 + numbers[numbers % 5 > 0] * 5005, 5005)) < 128 << 10


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(-5, 400), min_size=1, max_size=40, unique=True),
    st.sampled_from([Fraction(5, 24), Fraction(1001, 2400), Fraction(5, 1000), Fraction(3)]),
)
def test_frames_that_no_step_shows(times: list[int], steps_per_tick: Fraction) -> None:
    pts = np.sort(np.array(times, np.int64))
    end = ceil(int(pts[-1]) * steps_per_tick)
    shown = {
        max(time for time in times if time * steps_per_tick <= step)
        for step in range(ceil(int(pts[0]) * steps_per_tick), end + 1)
    }
    assert [int(time) not in shown for time in pts] == unneeded(pts, steps_per_tick).tolist()


def test_frames_between_decoded_ones() -> None:
    run = RunSelection([10, 20, 30, 40, 50], frozenset({20, 40}), 10, "")
    # Before the entry everything is as the decoder has it.
    assert run.between(None, 5) == ([], True)
    assert run.between(5, 10) == ([], True)
    assert run.between(10, 30) == ([20], True)
    assert run.between(30, 50) == ([40], True)
    # The frame at 30 is missing, one left out arrives, one is unknown, the entry is missing.
    for previous, pts in [(10, 50), (10, 20), (30, 45), (None, 30), (50, 60)]:
        assert not run.between(previous, pts)[1]
