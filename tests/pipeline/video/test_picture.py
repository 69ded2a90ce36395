"""Stored frames: fields, orientation, colors, brightness and bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.plan.movie_plan import PlacedPlan
from pipeline.video.filters import applied
from pipeline.video.tone_mapping import (
    REFERENCE_WHITE_NITS,
    Color,
    ToneMap,
    nits_to_pq,
    pq_to_nits,
)
from shards_spec.recipe import NANOSECONDS, Recipe
from tests.support.films.media import Film, ffmpeg, make_film, read_number
from tests.support.films.oracle import RECIPE, clips_of, everything, plan_of
from tests.support.samples import mostly_slow

LOSSLESS = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")
PCM = ("-c:a", "pcm_s16le")
AAC = ("-c:a", "aac")
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-qp", "10", "-g", "25")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "15", "-bf", "2")


def numbers(plan: PlacedPlan) -> dict[int, list[int]]:
    return {
        number: [read_number(f) for f in frames] for number, (_, frames) in clips_of(plan).items()
    }


def master(folder: Path, fps: Fraction, **changes: object) -> Path:
    film = Film(fps=fps, video=LOSSLESS, audio=PCM, gop=1, seconds=8, **changes)  # type: ignore[arg-type]
    return make_film(folder / "master.nut", film)


_CODED = {"tff": "tt", "bff": "bb"}


@pytest.mark.parametrize("order", mostly_slow(["tff", "bff"], ("bff",)))
@pytest.mark.parametrize("kind", mostly_slow(["h264 ts", "mpeg2 ts", "mjpeg mkv"], ("mpeg2 ts",)))
def test_interlaced_frames_show_their_earlier_field(order: str, kind: str, tmp_path: Path) -> None:
    """50 numbered fields per second: the frame on screen at t shows the first of its two fields."""
    whole = master(tmp_path, Fraction(50))
    codec, suffix = kind.split()
    path = tmp_path / f"film.{suffix}"
    weave = f"interlace=scan={order}:lowpass=off,setfield={order}"
    options = {
        "h264": (*H264, "-x264-params", f"{order}=1", *AAC),
        "mpeg2": (*MPEG2, "-flags", "+ildct+ilme", *("-c:a", "mp2")),
        # MJPEG frames carry no interlacing flag; the container does.
        "mjpeg": ("-c:v", "mjpeg", "-q:v", "2", "-field_order", _CODED[order], *PCM),
    }[codec]
    ffmpeg("-i", whole, "-vf", weave, *options, "-threads", "1", path)
    plan = plan_of(path)
    assert plan.probe.video.is_interlaced
    assert plan.probe.video.top_field_first == (order == "tff")
    assert plan.probe.video.has_unmarked_fields == (codec == "mjpeg")
    assert order in applied(plan.probe, None)
    for number, found in numbers(plan).items():
        start = plan.clip_start_ns(number) / NANOSECONDS
        # On screen at t is frame floor(25 t), whose first field is 2 floor(25 t).
        expected = [2 * int((start + i / 5) * 25 + 1e-6) for i in range(RECIPE.num_frames)]
        assert found == expected
    assert everything(plan_of(path, seconds=1.7)) == everything(plan)


def test_progressive_video_is_not_changed(tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", Film(seconds=4))
    plan = plan_of(path)
    assert not plan.probe.video.is_interlaced
    assert applied(plan.probe, None) == "smpte170m limited"


#: ffmpeg's options for the display matrix -> the expected frame, from the coded frame.
TURNS = {
    "90": (("-display_rotation", "-90"), lambda f: np.rot90(f, -1)),
    "180": (("-display_rotation", "180"), lambda f: np.rot90(f, 2)),
    "270": (("-display_rotation", "90"), lambda f: np.rot90(f, 1)),
    "mirrored": (("-display_hflip",), np.fliplr),
    "upside down": (("-display_vflip",), np.flipud),
    "askew": (("-display_rotation", "-83"), lambda f: np.rot90(f, -1)),
    "turned and mirrored": (
        ("-display_rotation", "-90", "-display_hflip"),
        lambda f: np.fliplr(np.rot90(f, -1)),
    ),
}


@pytest.mark.parametrize("turn", mostly_slow(TURNS, ("270", "mirrored", "askew")))
def test_the_display_matrix_is_applied(turn: str, tmp_path: Path) -> None:
    options, expect = TURNS[turn]
    whole = make_film(tmp_path / "whole.mp4", Film(seconds=4, width=128))
    path = tmp_path / "film.mp4"
    ffmpeg(*options, "-i", whole, "-c", "copy", path)
    _require_turned(whole, path, expect)


def test_orientation_in_the_stream_is_applied(tmp_path: Path) -> None:
    """H.264 has a message for it, here in a container without one; degrees anticlockwise."""
    whole = make_film(tmp_path / "whole.mp4", Film(seconds=4, width=128))
    path = tmp_path / "film.ts"
    turned = "h264_metadata=display_orientation=insert:rotate=270"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", turned, path)
    _require_turned(whole, path, lambda f: np.rot90(f, -1))


def _require_turned(whole: Path, path: Path, expect: Callable[[NDArray], NDArray]) -> None:
    plain, turned = (
        clips_of(plan_of(p, Recipe(num_frames=8, short_side=112))) for p in (whole, path)
    )
    wanted = expect(plain[0][1][5])
    found = turned[0][1][5]
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 6


BARS = ((255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0))


@pytest.mark.parametrize(
    ("height", "said", "matrix", "wide_range"),
    [
        (480, "", "bt601", False),
        (720, "", "bt709", False),
        pytest.param(480, "bt709", "bt709", False, marks=pytest.mark.slow),
        pytest.param(720, "smpte170m", "bt601", False, marks=pytest.mark.slow),
        (480, "bt709", "bt709", True),
        pytest.param(720, "bt2020nc", "bt2020", False, marks=pytest.mark.slow),
    ],
)
def test_matrix_and_range(
    height: int, said: str, matrix: str, wide_range: bool, tmp_path: Path
) -> None:
    """Color patches are decoded correctly for every matrix and range."""
    patches = np.repeat(np.array(BARS, dtype=np.uint8) // 2 + 40, 80, axis=0)
    raw, path = tmp_path / "patches.rgb", tmp_path / "film.mkv"
    frame = np.broadcast_to(patches, (height, *patches.shape))
    raw.write_bytes(frame.tobytes())
    size = f"{len(patches)}x{height}"
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", raw)
    sound = ("-f", "lavfi", "-i", "sine=r=48000")
    span = "full" if wide_range else "limited"
    code = f"loop=-1:1,fps=5,trim=duration=4,scale=out_color_matrix={matrix}:out_range={span}"
    tag = f"setparams=colorspace={said or 'unknown'}:range={'pc' if wide_range else 'unknown'}"
    ffmpeg(
        *source,
        *sound,
        "-vf",
        f"{code},format=yuv444p,{tag}",
        "-shortest",
        "-c:v",
        "ffv1",
        *PCM,
        path,
    )
    plan = plan_of(path, dataclasses.replace(RECIPE, jpeg_quality=100))
    frame = clips_of(plan)[0][1][0]
    step = frame.shape[1] // len(BARS)
    for i, wanted in enumerate(np.array(BARS) // 2 + 40):
        found = frame[:, i * step + step // 2]
        assert np.abs(found.mean(axis=0) - wanted).max() < 5, (i, found.mean(axis=0), wanted)


def test_pq_curve_at_known_points() -> None:
    """BT.2100, table 4, and BT.2408: code 0.58 is 203 cd/m2, 0.508 is 100, 0.7518 is 1000."""
    assert pq_to_nits(np.array([0.0, 1.0])) == pytest.approx([0.0, 10_000.0], abs=1e-6)
    assert nits_to_pq(100.0) == pytest.approx(0.508, abs=5e-4)
    assert nits_to_pq(203.0) == pytest.approx(0.5807, abs=5e-4)
    assert nits_to_pq(1000.0) == pytest.approx(0.7518, abs=5e-4)


def _gray(tone: ToneMap, nits: float) -> int:
    code = round(nits_to_pq(nits) * 65_535)
    return int(tone(np.full((1, 1, 3), code, np.uint16))[0, 0, 1])


def test_tone_curve() -> None:
    """Luminance below the knee is kept, the master's peak is white; monotonic, without tint."""
    tone = ToneMap(Color("bt2020nc", False, "pq", True), 1000.0)
    for nits in (1.0, 10.0, 50.0, 80.0):
        display = 255 * (nits / REFERENCE_WHITE_NITS) ** (1 / 2.4)
        assert _gray(tone, nits) == pytest.approx(display, abs=2)
    assert _gray(tone, 1000.0) == 255
    assert 200 < _gray(tone, 203.0) < 245
    ramp = np.repeat(np.arange(0, 65_536, 64, dtype=np.uint16)[None, :, None], 3, axis=2)
    gray = tone(ramp)[0].astype(int)
    assert (np.diff(gray[:, 1]) >= 0).all()
    assert np.ptp(gray, axis=1).max() <= 1
    # A pure BT.2020 green is outside BT.709: clipped, but still green.
    green = tone(np.array([[[0, 35_000, 0]]], dtype=np.uint16))[0, 0]
    assert green[0] == green[2] == 0 < green[1]


def _hdr_film(path: Path, transfer: str, codes: NDArray[np.uint16]) -> Path:
    """A 10-bit movie of one row of patches, `codes` (N, 3) 16-bit R, G, B, tagged as HDR."""
    frame = np.broadcast_to(np.repeat(codes, 32, axis=0), (112, 32 * len(codes), 3))
    raw = path.with_suffix(".rgb")
    raw.write_bytes(np.ascontiguousarray(frame).tobytes())
    source = ("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{32 * len(codes)}x112", "-i", raw)
    code = "loop=-1:1,fps=5,trim=duration=4,scale=out_color_matrix=bt2020:out_range=limited"
    tag = f"setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}:range=limited"
    options = (
        "-c:v",
        "libx265",
        "-x265-params",
        "lossless=1:log-level=none:pools=1",
        *AAC,
        "-shortest",
    )
    sound = ("-f", "lavfi", "-i", "sine=r=48000")
    ffmpeg(*source, *sound, "-vf", f"{code},format=yuv420p10le,{tag}", *options, path)
    return path


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_converted_to_sdr(transfer: str, tmp_path: Path) -> None:
    """A diffuse gray of 26 cd/m2 in an HDR grade becomes the middle gray of SDR."""
    if transfer == "smpte2084":
        gray, white = nits_to_pq(26.0), nits_to_pq(1000.0)
    else:
        # BT.2408: an HLG signal of 38 % is 26 cd/m2 on a display of 1000 cd/m2.
        gray, white = 0.38, 1.0
    levels = np.array([0.0, gray, white, gray])
    codes = np.rint(np.repeat(levels[:, None], 3, axis=1) * 65_535).astype(np.uint16)
    plan = plan_of(_hdr_film(tmp_path / "film.mp4", transfer, codes))
    assert plan.probe.video.hdr == transfer
    assert "bt2390" in applied(plan.probe, None)
    frame = clips_of(plan)[0][1][3]
    step = frame.shape[1] // 4
    black, middle, bright, _ = (frame[:, i * step + step // 2].mean() for i in range(4))
    assert black < 4
    assert middle == pytest.approx(255 * (26.0 / 203.0) ** (1 / 2.4), abs=6)
    assert bright > 248
    assert applied(plan.probe, None).startswith("bt2020nc limited")
