"""Damaged movies of which a decoder writes only parts of frames: the same clips each time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.video.reports import held_frames
from tests.support.films import damage
from tests.support.films.encoders import X264, X265, X265_PARAMS
from tests.support.films.media import Film, make_film
from tests.support.films.oracle import RECIPE, decoded_segments, everything, plan_of

_HEVC = (*X265, f"{X265_PARAMS}:bframes=3")
_SMALL = Film(seconds=4, width=96, height=64, gop=30, video=_HEVC)
_LARGE = replace(_SMALL, seconds=10, width=320, height=192)
_CODECS = {
    "hevc": (_HEVC, ".mp4"),
    "hevc open": ((*X265, f"{X265_PARAMS}:bframes=4:open-gop=1"), ".mkv"),
    "hevc refs only": ((*X265, f"{X265_PARAMS}:bframes=0"), ".mp4"),
    "h264": ((*X264, "-bf", "3"), ".mkv"),
    "mpeg1": (("-c:v", "mpeg1video", "-bf", "2"), ".mkv"),
    "mpeg2": (("-c:v", "mpeg2video", "-bf", "2", "-q:v", "4"), ".mkv"),
    "mjpeg": (("-c:v", "mjpeg"), ".mkv"),
}


def _overwrite(
    film: Path, path: Path, rng: random.Random, make: Callable[[random.Random, int], bytes]
) -> None:
    """Replace a part of some encoded frames, from somewhere in them on."""
    data = bytearray(film.read_bytes())
    for pos, size, _ in damage.pictures(film)[1:]:
        if rng.random() < 0.06:
            at = pos + int(size * rng.uniform(0.1, 0.8))
            new = make(rng, pos + size - at)
            data[at : at + len(new)] = new
    path.write_bytes(bytes(data))


KINDS: dict[str, Callable[[random.Random, int], bytes]] = {
    "noise": lambda rng, left: rng.randbytes(max(1, left // 4)),
    "zeros": lambda _, left: bytes(max(1, left // 4)),
    "cut off": lambda _, left: bytes(left),
    "one byte": lambda rng, _: rng.randbytes(1),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", _CODECS)
def test_damaged_movies_are_the_same_each_time(codec: str, kind: str, tmp_path: Path) -> None:
    """With their segments too, whose runs enter elsewhere."""
    video, suffix = _CODECS[codec]
    film = make_film(tmp_path / f"film{suffix}", replace(_LARGE, video=video))
    recipe = replace(RECIPE, fps=12.5, num_frames=4)
    for seed in range(2):
        path = tmp_path / f"damaged{seed}{suffix}"
        _overwrite(film, path, random.Random(seed), KINDS[kind])
        first = everything(plan_of(path, recipe))
        for _ in range(3):
            assert everything(plan_of(path, recipe)) == first, seed
        assert everything(plan_of(path, recipe, seconds=2.0)) == first, seed


def test_each_span_of_a_damaged_movie_has_a_run_of_its_own(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", _SMALL)
    plan = plan_of(film)
    assert [segment.num_runs for segment, _ in decoded_segments(plan)] == [1]
    found = decoded_segments(plan.whole())
    assert [segment.num_runs for segment, _ in found] == [len(plan.spans_of(plan.segments[0]))]
    assert found[0][0].num_runs > 1
    assert everything(plan.whole()) == everything(plan)


def test_frames_are_kept_as_far_as_memory_allows(tmp_path: Path) -> None:
    plan = plan_of(make_film(tmp_path / "film.mp4", replace(_SMALL, seconds=2)))
    span = plan.all_spans[0]
    assert not held_frames.holds_frames(plan, span), "nothing was reported"
    damaged = plan.whole()
    assert held_frames.holds_frames(damaged, span)

    def holds(seconds: float, **stream: object) -> bool:
        video = replace(plan.probe.video, **stream)
        large = replace(damaged, probe=replace(plan.probe, video=video))
        end = round(seconds * plan.recipe.fps)
        return held_frames.holds_frames(large, replace(span, seek_ns=None, end_step=end))

    full_hd = {"width": 1920, "height": 1080}
    assert holds(11, **full_hd)
    assert not holds(13, **full_hd)
    assert not holds(11, **full_hd, pixel_format="yuv420p10le")
    assert holds(4, **full_hd, pixel_format="yuv420p10le")
    assert not holds(11, **full_hd, pixel_format="yuv444p")
    assert not holds(11, **full_hd, avg_frame_rate="0/0")
    assert holds(3, **full_hd, avg_frame_rate="0/0")
    assert not holds(3, width=7680, height=4320)
    assert not holds(1, codec="h264")
