"""Views that are decoded together get the frames, cuts and damage that each gets alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.films import damage
from tests.support.films.encoders import X264, X265, X265_PARAMS
from tests.support.films.media import Film, make_film
from tests.support.films.oracle import RECIPE, everything, everything_of_views, plan_of
from tests.support.samples import mostly_slow

#: Other rates, clip lengths, sizes, crops, and cuts; two have the same rate.
RECIPES = [
    replace(RECIPE, short_side=64),
    replace(RECIPE, fps=2.0, num_frames=3, short_side=48, crop_bars=True),
    replace(RECIPE, fps=7.5, num_frames=4, overlap_frames=1, clips="shots"),
    replace(RECIPE, num_frames=5, short_side=32, seed=1),
]
_FILM = Film(seconds=8, width=96, height=64, gop=30, video=(*X264, "-bf", "3"))

CODECS = {
    "h264": _FILM.video,
    "open": (*X264, "-bf", "3", "-x264-params", "b-adapt=0:open-gop=1:scenecut=0"),
    "hevc": (*X265, f"{X265_PARAMS}:bframes=4:open-gop=1"),
    "mpeg2": ("-c:v", "mpeg2video", "-bf", "2", "-q:v", "4"),
    "mpeg4": ("-c:v", "mpeg4", "-bf", "2"),
    "interlaced": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-vf", "setfield=tff"),
    "one keyframe": (*X264, "-bf", "2", "-g", "1000"),
    "varied": (*X264, "-vf", "select='lt(mod(n,13),4)+eq(mod(n,7),0)'", "-fps_mode", "vfr"),
}
KINDS: dict[str, tuple[Callable[..., None], float]] = {
    "rot": (damage.rot, 0.05),
    "flip": (damage.flip, 0.03),
    "lose": (damage.lose, 0.03),
    "lose keys": (damage.lose_keys, 0.3),
}


def require_same(path: Path, *seconds: float, recipes: Any = RECIPES) -> None:
    alone = [everything(plan_of(path, recipe)) for recipe in recipes]
    assert alone == [everything(plan_of(path, recipe)) for recipe in recipes]
    for length in seconds:
        assert everything_of_views(path, recipes, length) == alone, length


@pytest.mark.parametrize("codec", mostly_slow(CODECS, ["h264"]))
def test_intact_movies(codec: str, tmp_path: Path) -> None:
    suffix = ".ts" if codec in ("mpeg2", "interlaced") else ".mkv"
    film = make_film(tmp_path / f"film{suffix}", replace(_FILM, video=CODECS[codec]))
    require_same(film, 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["h264", "open", "hevc", "mpeg4"])
def test_damaged_movies(codec: str, suffix: str, kind: str, tmp_path: Path) -> None:
    size = {"width": 320, "height": 192, "seconds": 10}
    film = make_film(tmp_path / f"film{suffix}", replace(_FILM, video=CODECS[codec], **size))
    make, share = KINDS[kind]
    for seed in range(2):
        path = tmp_path / f"damaged{seed}{suffix}"
        make(film, path, random.Random(seed), share)
        require_same(path, 1000.0, 2.5)


@pytest.mark.slow
@pytest.mark.parametrize("picture", range(30, 60, 2))
def test_damage_in_a_frame_that_only_some_views_need(picture: int, tmp_path: Path) -> None:
    """A view of its own would not notice damage in frames that it leaves out."""
    film = make_film(tmp_path / "film.mp4", replace(_FILM, width=320, height=192))
    data = bytearray(film.read_bytes())
    pos, size, _ = damage.pictures(film)[picture]
    data[pos + size // 2 : pos + size] = random.Random(picture).randbytes(size - size // 2)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(data))
    require_same(path, 1000.0, 2.5, recipes=RECIPES[:2])


@pytest.mark.slow
def test_a_view_may_begin_and_end_elsewhere(tmp_path: Path) -> None:
    """Long clips that leave the end of a movie out, in segments of one span."""
    film = make_film(tmp_path / "film.mp4", replace(_FILM, gop=13, seconds=7.3))
    recipes = [replace(RECIPE, num_frames=2), replace(RECIPE, fps=1.0, num_frames=4)]
    require_same(film, 0.5, recipes=recipes)
