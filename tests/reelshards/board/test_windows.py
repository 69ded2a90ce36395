"""Windows of items and the means over them, with exact values."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from reelshards.board.videos import rgb_frames, video_of_frames
from reelshards.board.waveforms import waveform
from reelshards.board.windows import centered_window, window_indices, window_starts
from shards_spec.errors import InputError


@pytest.mark.parametrize(
    ("length", "size", "most", "expected"),
    [
        (1, 4, 9, [0]),
        (4, 4, 9, [0]),
        (5, 4, 9, [0, 1]),
        (8, 4, 9, [0, 4]),
        (9, 4, 9, [0, 2, 5]),
        (12, 4, 9, [0, 4, 8]),
        (100, 4, 3, [0, 48, 96]),
        (100, 4, 1, [48]),
        (3, 4, 1, [0]),
    ],
)
def test_windows_cover_an_item(length: int, size: int, most: int, expected: list[int]) -> None:
    assert window_starts(length, size, most) == expected


def test_no_part_of_an_item_is_left_out() -> None:
    for length in range(1, 200):
        covered: set[int] = set()
        for start in window_starts(length, 7, 1000):
            covered |= set(window_indices(start, 7, length).tolist())
        assert covered == set(range(length))


def test_a_short_item_is_repeated() -> None:
    assert window_indices(0, 7, 3).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert window_indices(0, 3, 1).tolist() == [0, 0, 0]


def test_a_centered_window_has_silence_around_the_audio() -> None:
    samples = np.array([1, 2, 3], np.float32)
    assert centered_window(samples, 0, 4).tolist() == [0, 0, 1, 2]
    assert centered_window(samples, 1, 4).tolist() == [0, 1, 2, 3]
    assert centered_window(samples, 3, 4).tolist() == [2, 3, 0, 0]
    assert centered_window(samples, 9, 4).tolist() == [0, 0, 0, 0]
    assert centered_window(samples, 1, 1).tolist() == [2]


STEREO = np.array([[0.5, 0.25, -0.5], [0.0, 0.25, 0.5]])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([0.5, -0.25], [0.5, -0.25]),
        (STEREO, [0.25, 0.25, 0.0]),
        (STEREO.T, [0.25, 0.25, 0.0]),
        (STEREO[None].astype(np.float16), [0.25, 0.25, 0.0]),
        (np.array([[1.0, -1.0]]), [1.0, -1.0]),
        (np.array([16384, -32768], np.int16), [0.5, -1.0]),
        (np.array([2**30, -(2**31)], np.int32), [0.5, -1.0]),
        (np.array([192, 128, 0], np.uint8), [0.5, 0.0, -1.0]),
        ([16384, -32768], [0.5, -1.0]),
        ([2**30, 0], [0.5, 0.0]),
        (np.array([0.5, -2.0, 1.0]), [0.25, -1.0, 0.5]),
        (np.float32(0.5), [0.5]),
    ],
    ids=str,
)
def test_audio_of_any_layout_and_type(array: object, expected: list[float]) -> None:
    found = waveform(array, 16_000, 16_000)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000, 96_000])
def test_audio_of_any_rate_keeps_its_pitch(rate_hz: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)
    found = waveform(tone, rate_hz, 16_000)
    assert abs(len(found) - 16_000) <= 1
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(found)) / 16_000)
    np.testing.assert_allclose(found[1000:-1000], expected[1000:-1000], atol=2e-3)


def test_one_sample_survives_a_lower_rate() -> None:
    assert len(waveform([0.5], 48_000, 16_000)) == 1


@pytest.mark.parametrize(
    ("array", "rate_hz", "message"),
    [
        ([], 16_000, "without a sample"),
        (np.zeros((2, 0)), 16_000, "without a sample"),
        ([0.0, np.nan, np.inf], 16_000, "2 of 3 audio samples are NaN"),
        ([0.0], 0, "sampling rate of 0"),
        ([0.0], float("nan"), "sampling rate of nan"),
        (np.array([1j]), 16_000, "of type complex128"),
        (np.zeros((2, 2, 2)), 16_000, "of shape"),
    ],
    ids=str,
)
def test_unusable_audio_is_refused(array: object, rate_hz: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        waveform(array, rate_hz, 16_000)


RED = np.zeros((5, 3, 7, 3), np.uint8)
RED[..., 0] = 200


@pytest.mark.parametrize(
    "frames",
    [
        RED,
        RED.transpose(0, 3, 1, 2).copy()[:, :, :, :2],
        torch.from_numpy(RED).permute(0, 3, 1, 2),
        np.concatenate([RED, np.zeros((5, 3, 7, 1), np.uint8)], axis=3),
        RED.astype(np.float32) / 255,
        RED.astype(np.float64),
        RED.astype(np.uint16) * 256,
        RED.astype(np.int64),
        list(RED),
        [Image.fromarray(frame) for frame in RED],
    ],
    ids=lambda frames: f"{type(frames).__name__}",
)
def test_frames_of_any_layout_and_type(frames: object) -> None:
    found = rgb_frames(frames)
    assert (found.dtype, len(found), found.shape[3]) == (np.uint8, 5, 3)
    assert np.unique(found.reshape(-1, 3), axis=0).tolist() == [[200, 0, 0]]


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 1, 5, 3), (2, 5, 3, 1)])
def test_gray_frames_become_rgb(shape: tuple[int, ...]) -> None:
    found = rgb_frames(torch.full(shape, 7, dtype=torch.uint8))
    assert found.shape == (2, 5, 3, 3)
    assert (found == 7).all()


def test_a_palette_image_is_shown_in_its_colors() -> None:
    image = Image.fromarray(RED[0]).quantize(4)
    assert rgb_frames([image])[0, 0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "has no pixels"),
        (np.zeros((4, 8, 8, 2), np.uint8), "1, 3 or 4 channels"),
        (np.zeros((8, 8), np.uint8), "of shape"),
        ([], "shapes none"),
        ([np.zeros((4, 4)), np.zeros((4, 5))], "expected one shape"),
        (np.full((1, 4, 4, 3), np.nan), "NaN"),
        ("movie.mp4", "expected one shape|of shape|of type"),
        (7, "video as int"),
    ],
    ids=str,
)
def test_unusable_frames_are_refused(frames: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rgb_frames(frames)


@pytest.mark.parametrize(
    ("num_frames", "fps", "shown"),
    [
        (1, 5, [0]),
        (3, 5, [0, 1, 2]),
        (6, 10, [0, 2, 4]),
        (7, 10, [0, 2, 4, 6]),
        (2, 2.5, [0, 0, 1, 1]),
        (1, 1, [0, 0, 0, 0, 0]),
        (1, 60, [0]),
        (30, 30_000 / 1001, [0, 5, 11, 17, 23, 29]),
    ],
)
def test_frames_are_shown_at_the_times_of_the_grid(
    num_frames: int, fps: float, shown: list[int]
) -> None:
    frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    video = video_of_frames(frames, fps, Fraction(5))
    found = video.read(np.arange(video.num_steps))
    assert found[:, 0, 0, 0].tolist() == shown
