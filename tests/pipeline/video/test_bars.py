"""Black bars: found where they are, and never where a movie is merely dark."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.video import black_bars
from shards_spec.recipe import Recipe
from tests.support.films.opened import source_of
from tests.support.films.oracle import plan_of
from tests.support.samples import mostly_slow

WIDTH, HEIGHT, NUM_FRAMES = 320, 180, 120
TOP, BOTTOM = 24, 156
RECIPE = Recipe(num_frames=8, short_side=112)
Frame = NDArray[np.uint8]
_RNG = np.random.default_rng(0)
_TEXTURE = cv2.resize(_RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8), (WIDTH, HEIGHT))


def picture(number: int) -> Frame:
    """A bright moving image that fills the frame."""
    return np.roll(_TEXTURE, number * 3, axis=1)


def letterbox(frame: Frame, top: int = TOP, bottom: int = BOTTOM) -> Frame:
    boxed = np.zeros_like(frame)
    boxed[top:bottom] = frame[top:bottom]
    return boxed


def pillarbox(number: int) -> Frame:
    frame = picture(number)
    frame[:, :40] = 0
    frame[:, 280:] = 0
    return frame


def subtitled(number: int) -> Frame:
    """Two lines of text in the lower bar, in two of three frames."""
    frame = letterbox(picture(number))
    if number % 30 < 20:
        text = ("The quick brown fox jumps", "over the lazy dog again")[number // 30 % 2]
        cv2.putText(frame, text, (60, 172), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255,) * 3, 1)
    return frame


def with_logo(number: int) -> Frame:
    frame = letterbox(picture(number))
    cv2.circle(frame, (295, 11), 8, (230, 230, 230), -1)
    return frame


def noisy(number: int) -> Frame:
    """An old capture: bars of noise, and coded captions on the first line."""
    frame = letterbox(picture(number)).astype(np.int16)
    frame += np.random.default_rng(number).normal(6, 4, frame.shape).astype(np.int16)
    frame[0, ::4] = 235
    frame[0, 1::4] = 235
    return np.clip(frame, 0, 255).astype(np.uint8)


def fading(number: int) -> Frame:
    """Fades in and out every four seconds."""
    light = abs(np.sin(np.pi * number / 20))
    return (letterbox(picture(number)) * light).astype(np.uint8)


def two_aspects(number: int) -> Frame:
    """Letterboxed, except for one scene (a tenth of the movie) that fills the frame."""
    return picture(number) if 60 <= number < 72 else letterbox(picture(number))


def night(number: int) -> Frame:
    """Dark except for a light in the middle; for three seconds lightning shows the whole frame."""
    if 40 <= number < 55:
        return picture(number)
    frame = (picture(number) * 0.04).astype(np.uint8)
    cv2.circle(frame, (160, 90), 50, (240, 220, 180), -1)
    return frame


def globe(number: int) -> Frame:
    """A lit ball on black: round, so not between bars."""
    frame = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.circle(frame, (150 + number % 3, 90), 60, (90, 140, 200), -1)
    return frame


def titles(number: int) -> Frame:
    """White words on black, here and there."""
    frame = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    place = (20 + number * 7 % 120, 60 + number * 11 % 80)
    cv2.putText(frame, "AND OUR DREAMS", place, cv2.FONT_HERSHEY_DUPLEX, 0.7, (240,) * 3, 2)
    return frame


def vignette(number: int) -> Frame:
    """An image that darkens towards its corners, down to black."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    light = np.clip(1.1 - 0.8 * (x**2 + y**2), 0, 1)[..., None]
    return (picture(number) * light).astype(np.uint8)


def black(number: int) -> Frame:
    return np.full((HEIGHT, WIDTH, 3), 3 + number % 2, dtype=np.uint8)


FULL, LETTERBOX = "", f"{WIDTH}:{BOTTOM - TOP}:0:{TOP}"
CASES: dict[str, tuple[Callable[[int], Frame], str]] = {
    "none": (picture, FULL),
    "letterbox": (lambda n: letterbox(picture(n)), LETTERBOX),
    "one bar only": (lambda n: letterbox(picture(n), 0), f"{WIDTH}:{BOTTOM}:0:0"),
    "pillarbox": (pillarbox, f"240:{HEIGHT}:40:0"),
    "subtitles in the bar": (subtitled, LETTERBOX),
    "logo in the bar": (with_logo, LETTERBOX),
    "noise in the bars": (noisy, LETTERBOX),
    "fades": (fading, LETTERBOX),
    "two aspects": (two_aspects, FULL),
    "night": (night, FULL),
    "globe": (globe, FULL),
    "titles": (titles, FULL),
    "vignette": (vignette, FULL),
    "black": (black, FULL),
}


def write(path: Path, draw: Callable[[int], Frame]) -> Path:
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "5")
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-y", *source, "-i", "pipe:0"]
    command += ["-f", "lavfi", "-i", "sine=r=48000", "-shortest", "-c:v", "libx264", "-g", "3"]
    command += ["-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path)]
    frames = b"".join(draw(number).tobytes() for number in range(NUM_FRAMES))
    subprocess.run(command, input=frames, check=True, timeout=500)
    return path


@pytest.mark.parametrize("case", mostly_slow(CASES, ("letterbox", "night")))
def test_bars(case: str, tmp_path: Path) -> None:
    draw, expected = CASES[case]
    plan = plan_of(write(tmp_path / "film.mp4", draw), RECIPE)
    assert str(plan.crop or "") == expected


def test_looks_are_only_spared_where_no_bar_could_be_found() -> None:
    """With any frames after them, and however many of those cannot be decoded."""
    rng = np.random.default_rng(0)
    num_spared = 0
    for _ in range(30):
        frames = [_random_look(rng) for _ in range(32)]
        looks, least = black_bars._Looks((64, 48)), black_bars._least(len(frames))
        is_spared = False
        for frame in frames:
            looks.add(frame)
            is_spared |= looks.show_all(least)
            assert not (is_spared and looks.crop()), "a crop after looks that show all"
        num_spared += is_spared
    assert 5 < num_spared < 30


def _random_look(rng: np.random.Generator) -> NDArray[np.uint8]:
    frame = rng.integers(0, 256, (48, 64), dtype=np.uint8)
    if rng.random() < 0.6:
        frame[: rng.integers(0, 12)] = 0
    if rng.random() < 0.6:
        frame[:, : rng.integers(0, 12)] = 0
    return frame if rng.random() < 0.3 else frame // 12


@pytest.mark.parametrize("suffix", [".mkv", pytest.param(".mp4", marks=pytest.mark.slow)])
def test_a_keyframe_alone_shows_what_a_longer_run_shows(suffix: str, tmp_path: Path) -> None:
    plan = plan_of(write(tmp_path / f"film{suffix}", with_logo), RECIPE)
    source = source_of(plan)
    looks = [
        (
            black_bars._keyframe_alone(plan.probe, source, "film", time),
            black_bars._gray_frame(plan.probe, source, "film", time),
        )
        for time in plan.probe.keyframes_ns[:2]
    ]
    for alone, whole in looks:
        assert alone is None or np.array_equal(alone, whole)
    assert any(alone is not None for alone, _ in looks)


@pytest.mark.parametrize("width", [1, 7, 8, 96])
def test_rows_are_compared_with_black_by_their_median(width: int) -> None:
    """Noise around the threshold: no row is lit, and of many the median is between two values."""
    random = np.random.default_rng(width)
    threshold = black_bars.BLACK_LUMA
    luma = random.integers(threshold - 2, threshold + 4, (500, width), np.uint8)
    expected = np.median(luma, axis=1) > threshold
    assert luma.max() < black_bars.LIT_LUMA
    assert np.array_equal(black_bars.active_rows(luma), expected)
    assert np.array_equal(black_bars.active_rows(np.asfortranarray(luma)), expected)
    assert 0 < expected.sum() < len(expected)
