"""Clips are the same, byte for byte, whether or not the decoder sees every frame."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.ffmpeg.binaries import filters_packets
from pipeline.movie import steps
from pipeline.plan.movie_plan import MoviePlan
from pipeline.video import selection_of
from tests.support.films import damage
from tests.support.films.encoders import CLOSED, MPEG1, MPEG2, MPEG4, X264, X265, X265_PARAMS
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import source_of
from tests.support.films.oracle import (
    RECIPE,
    clips_of,
    decoded_segments,
    everything,
    judged,
    plan_of,
    source_frames,
)
from tests.support.samples import mostly_slow

pytestmark = pytest.mark.skipif(
    not filters_packets(), reason="this ffmpeg cannot leave packets of an input out (before 7.1)"
)

#: Name -> encoder. All make frames to which no other refers.
CODECS = {
    "pyramid": (*X264, "-bf", "3", "-x264-params", "b-adapt=0"),
    "no pyramid": (*X264, "-bf", "3", "-x264-params", "b-adapt=0:b-pyramid=none"),
    "open": (*X264, "-bf", "3", "-x264-params", "b-adapt=0:open-gop=1:scenecut=0"),
    "many references": (*X264, "-bf", "7", "-refs", "8", "-x264-params", "b-adapt=2:weightp=2"),
    "direct": (*X264, "-bf", "3", "-x264-params", "direct=temporal:slices=3:cabac=0"),
    "refresh": (*X264, "-bf", "2", "-x264-params", "intra-refresh=1:b-pyramid=strict"),
    "10 bits": (*X264[:-2], "-pix_fmt", "yuv422p10le", "-bf", "3"),
    "4:4:4": (*X264[:-2], "-pix_fmt", "yuv444p", "-bf", "3"),
    "hevc": (*X265, f"{X265_PARAMS}:bframes=4:open-gop=0"),
    "hevc open": (*X265, f"{X265_PARAMS}:bframes=4:open-gop=1"),
    "hevc no pyramid": (*X265, f"{X265_PARAMS}:bframes=3:b-pyramid=0:hash=1"),
    "hevc layers": (*X265, f"{X265_PARAMS}:bframes=4:temporal-layers=3"),
    "hevc 10 bits": (
        *X265[:-3],
        "-pix_fmt",
        "yuv420p10le",
        "-x265-params",
        f"{X265_PARAMS}:bframes=4",
    ),
    "mpeg-1": MPEG1,
    "mpeg-2": MPEG2,
    "mpeg-2 closed": (*MPEG2, "-bf", "3", *CLOSED),
    "mpeg-4": MPEG4,
    "mpeg-4 closed": (*MPEG4, "-bf", "3", *CLOSED),
    "mpeg-4 vectors": (*MPEG4, "-bf", "1", "-flags", "+qpel+mv4"),
}
CONTAINERS = (".mp4", ".mkv")
KINDS: dict[str, tuple[Callable[..., None], float]] = {
    "rot": (damage.rot, 0.05),
    "flip": (damage.flip, 0.03),
    "lose": (damage.lose, 0.03),
    "lose keys": (damage.lose_keys, 0.3),
}


def _film(path: Path, codec: str, **changes: Any) -> Path:
    film = Film(seconds=8, width=96, height=64, gop=30, video=CODECS[codec])
    return make_film(path, replace(film, **changes))


def _left_out(plan: MoviePlan) -> int:
    """How many frames no decoder saw."""
    selection = selection_of(plan)
    found = [segment for segment, _ in decoded_segments(plan)]
    assert len({segment.leaves_out for segment in found}) == 1
    return selection.num_left_out if selection and found[0].leaves_out else 0


_FEW = [("pyramid", ".mkv"), ("mpeg-2", ".mkv"), ("mpeg-4", ".mp4")]


@pytest.mark.parametrize("case", mostly_slow(product(CODECS, CONTAINERS), _FEW))
def test_same_clips_from_fewer_frames(case: tuple[str, str], tmp_path: Path) -> None:
    codec, container = case
    path = _film(tmp_path / f"film{container}", codec)
    plan = plan_of(path)
    whole = everything(plan.whole())
    num_wrong, selective = judged(plan, source_frames(path))
    assert num_wrong == 0
    assert selective == whole
    if codec == "refresh":
        return
    assert _left_out(plan) >= 20
    for seconds in (1.3, 3.0) if case not in _FEW else (1.3,):
        split = plan_of(path, seconds=seconds)
        assert len(split.segments) > 1
        assert everything(split) == whole
        assert _left_out(split) == _left_out(plan)


@pytest.mark.slow
@pytest.mark.parametrize("fps", [5.0, 1.0, 7.5, 11.0])
@pytest.mark.parametrize("rate", ["25", "24000/1001", "60"])
def test_any_rates(fps: float, rate: str, tmp_path: Path) -> None:
    recipe = replace(RECIPE, fps=fps, num_frames=4)
    for container in CONTAINERS:
        path = _film(tmp_path / f"film{container}", "pyramid", fps=Fraction(rate))
        plan = plan_of(path, recipe)
        assert _left_out(plan) > 0
        assert everything(plan) == everything(plan.whole())
        assert everything(plan_of(path, recipe, seconds=1.9)) == everything(plan.whole())


#: Of a picture whose headers are damaged, ffmpeg's MPEG-2 decoder may show what happens to be in
#: memory, with no report: so these are damaged in `test_mpeg`.
DAMAGED = [
    *product(["pyramid", "open", "many references", "hevc", "hevc open", "mpeg-4"], KINDS),
    *product(["mpeg-2", "mpeg-2 closed"], ["lose", "lose keys"]),
]


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(("codec", "kind"), DAMAGED)
def test_damaged_movies(codec: str, container: str, kind: str, tmp_path: Path) -> None:
    """Larger frames, so that most damage hits what is in them, not the sizes of their units."""
    size = {"width": 320, "height": 192, "seconds": 10}
    film = _film(tmp_path / f"film{container}", codec, **size)
    make, share = KINDS[kind]
    for seed in range(3):
        path = tmp_path / f"damaged{seed}{container}"
        make(film, path, random.Random(seed), share)
        plan = plan_of(path)
        whole = everything(plan.whole())
        assert everything(plan) == whole
        assert everything(plan_of(path, seconds=1.1)) == whole


def _damaged(film: Path, path: Path, picture: int) -> None:
    """Noise in the second half of one encoded frame."""
    data = bytearray(film.read_bytes())
    pos, size, _ = damage.pictures(film)[picture]
    data[pos + size // 2 : pos + size] = random.Random(picture).randbytes(size - size // 2)
    path.write_bytes(bytes(data))


def _numbers(film: Path, plan: MoviePlan) -> tuple[list[int], list[int]]:
    """Numbers of the frames in file order that are left out, and of those that are not."""
    selection = selection_of(plan)
    assert selection is not None
    left_out = set((selection.pts[selection.is_left_out] + selection.start_pts).tolist())
    times = plan.probe.packet_order.pts().tolist()
    hidden = [number for number, pts in enumerate(times) if pts in left_out]
    return hidden, [number for number in range(1, len(times)) if number not in hidden]


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["pyramid", "open", "mpeg-2", "mpeg-4"])
def test_damage_in_a_frame_that_decoders_see(codec: str, tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mp4", codec, width=320, height=192)
    _, seen = _numbers(film, plan_of(film))
    for number in seen[5::17]:
        path = tmp_path / f"damaged{number}.mp4"
        _damaged(film, path, number)
        plan = plan_of(path)
        assert everything(plan) == everything(plan.whole())
        assert everything(plan_of(path, seconds=2.5)) == everything(plan.whole())


@pytest.mark.parametrize("codec", mostly_slow(["pyramid", "open", "mpeg-2", "mpeg-4"], ["pyramid"]))
def test_damage_in_a_frame_that_no_decoder_sees(codec: str, tmp_path: Path) -> None:
    """It costs no clip: all are those of the intact movie."""
    film = _film(tmp_path / "film.mkv", codec, width=160, height=96)
    intact = clips_of(plan_of(film))
    hidden, _ = _numbers(film, plan_of(film))
    path = tmp_path / "damaged.mkv"
    # In a small one, noise may look like a picture.
    sizes = [size for _, size, _ in damage.pictures(film)]
    _damaged(film, path, max(hidden, key=lambda number: sizes[number]))
    clips = clips_of(plan_of(path))
    whole = clips_of(plan_of(path).whole())
    assert len(whole) < len(clips) == len(intact)
    for number, (pts_ns, frames) in clips.items():
        assert pts_ns == intact[number][0]
        assert np.array_equal(frames, intact[number][1])


def test_one_report_makes_all_segments_whole(tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mp4", "pyramid", width=160, height=96, seconds=5)
    _, seen = _numbers(film, plan_of(film))
    path = tmp_path / "damaged.mp4"
    _damaged(film, path, seen[len(seen) // 2])
    plan = plan_of(path, seconds=1.1)
    found = [steps.run_segment(plan, part, source_of(plan))[0] for part in plan.segments]
    assert sum(segment.must_be_whole for segment in found) >= 1
    whole, again = steps.to_decode_again(plan, found)
    assert [part.number for part in again] == [s.number for s in found if s.leaves_out]
    assert selection_of(whole) is None
    assert _left_out(plan) == 0


#: Name -> (encoder, ending): movies that are decoded whole.
WHOLE = {
    "no B-frames": (("-c:v", "libx264", "-preset", "ultrafast"), ".mp4"),
    "interlaced": ((*X264, "-bf", "3", "-flags", "+ilme+ildct"), ".mp4"),
    "paff or mbaff, unmarked": ((*X264, "-bf", "3", "-x264-params", "fake-interlaced=1"), ".mkv"),
    "mpeg-2, interlaced": ((*MPEG2, "-flags", "+ilme+ildct"), ".mkv"),
    "mpeg-4, interlaced": ((*MPEG4, "-flags", "+ilme+ildct"), ".mp4"),
    "program stream": (MPEG2, ".mpg"),
    "mpeg-2 transport stream": (MPEG2, ".ts"),
    "mpeg-4 avi": (MPEG4, ".avi"),
    "transport stream": (CODECS["pyramid"], ".ts"),
    "avi": (CODECS["no pyramid"], ".avi"),
}


@pytest.mark.parametrize("case", mostly_slow(WHOLE, ["interlaced"]))
def test_movies_that_are_decoded_whole(case: str, tmp_path: Path) -> None:
    video, suffix = WHOLE[case]
    # Program streams hold no AAC.
    film = Film(seconds=5, width=96, height=64, gop=30, video=video, audio=("-c:a", "mp2"))
    assert selection_of(plan_of(make_film(tmp_path / f"film{suffix}", film))) is None


@pytest.mark.slow
def test_sequence_parameters_without_a_delay_or_that_change(tmp_path: Path) -> None:
    film = _film(tmp_path / "film.mp4", "pyramid")
    path = tmp_path / "other.mp4"
    # The second one changes the level in the middle: two recordings in one file.
    ffmpeg("-i", film, "-c", "copy", "-bsf:v", "h264_metadata=level=4.0", path)
    assert selection_of(plan_of(path)) is not None
    parts = tmp_path / "parts.txt"
    parts.write_text(f"file {film}\nfile {path}\n")
    joined = tmp_path / "joined.mkv"
    ffmpeg("-f", "concat", "-safe", "0", "-i", parts, "-c", "copy", joined)
    plan = plan_of(joined)
    assert everything(plan) == everything(plan.whole())
