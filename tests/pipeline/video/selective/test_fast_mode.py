"""Fast mode: no frame is more than one source frame too early, and the error is measured."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import Seeks
from pipeline.ffmpeg.binaries import filters_packets
from pipeline.movie import fast_mode, steps
from pipeline.movie.fast_mode import sample_parts, ssim
from pipeline.movie.rows import decoding_columns
from pipeline.plan.movie_plan import MoviePlan
from pipeline.sources.corpus import find_movies
from pipeline.video import selection_of
from pipeline.video.selective.selection import replaced
from shards_spec.recipe import NANOSECONDS
from tests.support.films import damage
from tests.support.films.encoders import X264, X265, X265_PARAMS
from tests.support.films.media import Film, make_film, read_number, shown_at
from tests.support.films.opened import opened
from tests.support.films.oracle import (
    RECIPE,
    clips_of,
    decoded_segments,
    everything,
    plan_of,
    source_frames,
)
from tests.support.samples import mostly_slow

pytestmark = pytest.mark.skipif(
    not filters_packets(), reason="this ffmpeg cannot leave packets of an input out (before 7.1)"
)

_VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "200k")
#: Name -> encoder, container, whether frames are left out in fast mode.
KINDS = {
    "pyramid": ((*X264, "-bf", "3", "-x264-params", "b-adapt=0"), ".mp4", True),
    "no pyramid": ((*X264, "-bf", "3", "-x264-params", "b-adapt=0:b-pyramid=none"), ".mkv", True),
    "open": ((*X264, "-bf", "3", "-x264-params", "b-adapt=0:open-gop=1"), ".mkv", True),
    "no b-frames": ((*X264, "-bf", "0"), ".mp4", False),
    "transport stream": ((*X264, "-bf", "2"), ".ts", False),
    "interlaced": ((*X264, "-bf", "2", "-flags", "+ilme+ildct"), ".mkv", False),
    "hevc": ((*X265, f"{X265_PARAMS}:bframes=4:open-gop=0"), ".mkv", True),
    "hevc open": ((*X265, f"{X265_PARAMS}:bframes=4:open-gop=1"), ".mp4", True),
    "vp9": (_VP9, ".webm", False),
}
FAST = replace(RECIPE, fast_decode=True)


def _film(path: Path, kind: str, **changes: object) -> Path:
    video, suffix, _ = KINDS[kind]
    audio = ("-c:a", "libopus") if suffix == ".webm" else ("-c:a", "aac")
    film = Film(seconds=8, width=96, height=64, gop=30, video=video, audio=audio)
    return make_film(path.with_suffix(suffix), replace(film, **changes))  # type: ignore[arg-type]


def _columns(plan: MoviePlan) -> dict[str, object]:
    """What the index says about decoding, if all segments were decoded as planned."""
    segments = [segment for segment, _ in decoded_segments(plan)]
    assert {segment.is_fast for segment in segments} == {plan.is_fast}
    return decoding_columns(plan, segments)


@pytest.mark.parametrize("case", mostly_slow(product(KINDS, [5.0, 11.0]), [("pyramid", 5.0)]))
def test_at_most_one_frame_off(case: tuple[str, float], tmp_path: Path) -> None:
    kind, fps = case
    path = _film(tmp_path / "film", kind)
    recipe = replace(FAST, fps=fps)
    plan, truth = plan_of(path, recipe), source_frames(path)
    times = [float(time) for time, _ in truth]
    early = []
    for number, (pts_ns, frames) in clips_of(plan).items():
        start = plan.clip_start_ns(number) / NANOSECONDS
        for index, frame in enumerate(frames):
            due = shown_at(times, start + index / fps)
            early.append(truth[due][1] - read_number(frame))
            if index == 0:
                # The index has the time of the frame that is stored.
                assert abs(pts_ns - times[due - early[-1]] * NANOSECONDS) < 2_000_000
    assert len(early) >= 20
    assert set(early) <= ({0, 1} if KINDS[kind][2] else {0})
    assert 1 in early or kind != "pyramid"
    columns = _columns(plan)
    assert columns["decode_mode"] == "fast"
    assert (columns["frames_left_out"] != 0) == KINDS[kind][2]
    # A frame of 25 per second.
    assert columns["fast_time_error_ms"] in ((0.0, 40.0) if KINDS[kind][2] else (0.0,))
    assert 0.5 < columns["fast_min_ssim"] <= columns["fast_ssim"] <= 1.0  # type: ignore[operator]
    if kind != "vp9":
        assert everything(plan) != everything(plan.whole())
    for seconds in (1.3, 3.0) if kind != "pyramid" else (1.3,):
        split = plan_of(path, recipe, seconds=seconds)
        assert len(split.segments) > 1
        assert split.fast_error == plan.fast_error
        assert everything(split) == everything(plan)


@pytest.mark.slow
def test_more_frames_are_left_out_than_in_exact_mode(tmp_path: Path) -> None:
    path = _film(tmp_path / "film", "pyramid", fps=Fraction(30))
    fast, exact = selection_of(plan_of(path, FAST)), selection_of(plan_of(path))
    assert fast
    assert exact
    assert fast.num_left_out > exact.num_left_out
    assert not (exact.is_left_out & ~fast.is_left_out).any()


@pytest.mark.parametrize(
    ("video", "suffix"),
    [
        (("-c:v", "mpeg2video", "-bf", "2", "-b:v", "2M"), ".mpg"),
        pytest.param(("-c:v", "mpeg4", "-bf", "2"), ".avi", marks=pytest.mark.slow),
        pytest.param(("-c:v", "mjpeg"), ".mov", marks=pytest.mark.slow),
    ],
)
def test_codecs_without_loop_filter_are_decoded_exactly(
    video: tuple[str, ...], suffix: str, tmp_path: Path
) -> None:
    film = Film(seconds=4, width=96, height=64, gop=15, video=video, audio=("-c:a", "mp2"))
    path = make_film(tmp_path / f"film{suffix}", film)
    plan = plan_of(path, FAST)
    assert everything(plan) == everything(plan_of(path))
    columns = _columns(plan)
    assert (columns["decode_mode"], columns["frames_left_out"]) == ("full", 0)
    for name in ("fast_time_error_ms", "fast_ssim", "fast_min_ssim"):
        assert columns[name] is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pyramid", "hevc open"])
def test_few_clips_are_the_same_by_either_route(kind: str, tmp_path: Path) -> None:
    path = _film(tmp_path / "film", kind, seconds=16)
    (movie,) = find_movies(str(path))
    found = []
    routes: tuple[Seeks, ...] = ("never", "always")
    for seeks in routes:
        few = replace(FAST, clips_per_movie=3)
        plan = steps.prepare(movie, opened(movie), few, 1000.0, seeks=seeks)
        assert plan.is_fast
        assert all(segment.is_fast for segment, _ in decoded_segments(plan))
        clips = clips_of(plan)
        numbers = steps.with_clips(plan, []).numbers
        found.append([(number, clips[number][0], clips[number][1].tobytes()) for number in numbers])
    assert found[0] == found[1]
    assert len(found[0]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pyramid", "no b-frames", "transport stream", "hevc"])
@pytest.mark.parametrize("harm", [damage.rot, damage.flip])
def test_damaged_movies_are_decoded_exactly(kind: str, harm: object, tmp_path: Path) -> None:
    film = _film(tmp_path / "film", kind, width=320, height=192)
    for seed in range(3):
        path = tmp_path / f"damaged{seed}{film.suffix}"
        harm(film, path, random.Random(seed), 0.1)  # type: ignore[operator]
        exact = everything(plan_of(path).whole())
        for seconds in (1000.0, 1.3):
            assert everything(plan_of(path, FAST, seconds=seconds)) == exact


def test_damage_outside_of_the_sample_concerns_all_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = _film(tmp_path / "film", "no b-frames", width=160, height=96)
    assert len(sample_parts(plan_of(film, FAST))) == 1
    monkeypatch.setattr(fast_mode, "SECONDS_PER_PART", 1.0)
    assert len(sample_parts(plan_of(film, FAST))) == 3
    keys = [(pos, size) for pos, size, is_key in damage.pictures(film) if is_key]
    data = bytearray(film.read_bytes())
    pos, size = keys[-1]
    data[pos + size // 2 : pos + size] = random.Random(1).randbytes(size - size // 2)
    film.write_bytes(data)
    plan = plan_of(film, FAST, seconds=1.3)
    assert plan.is_fast
    assert everything(plan) == everything(plan.whole())
    assert not any(segment.is_fast for segment, _ in decoded_segments(plan))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [  # P, B: others refer to it; b: none does. Upper case in the result: decoded.
        ("P.bBbP", "P.bB-P"),
        ("PbbbP", "P-b-P"),  # The middle one takes the place of the third.
        ("Pb.bP", "P-.bP"),
        ("bPbb", "bP-b"),
    ],
)
def test_only_the_frame_before_takes_the_place_of_another(frames: str, expected: str) -> None:
    """`.` is a frame that no clip needs and that is left out already."""
    may_be = np.array([frame in "b." for frame in frames])
    left_out = np.array([frame == "." for frame in frames])
    found = replaced(left_out, may_be)
    assert (
        "".join("-" if f and not s else k for f, s, k in zip(found, left_out, frames, strict=True))
        == expected
    )


def test_similarity() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 96), np.uint8)
    noisy = np.clip(image + rng.normal(0, 20, image.shape), 0, 255).astype(np.uint8)
    assert ssim(image, image) == 1.0
    assert ssim(image, noisy) == ssim(noisy, image)
    assert 0.8 < ssim(image, noisy) < 0.999
    assert abs(ssim(image, rng.integers(0, 256, image.shape, np.uint8))) < 0.1
    flat = np.full((64, 96), 100, np.uint8)
    # Without structure only luminance counts: (2ab + C1) / (a^2 + b^2 + C1).
    assert ssim(flat, flat + 50) == pytest.approx(30006.5025 / 32506.5025, abs=1e-6)
