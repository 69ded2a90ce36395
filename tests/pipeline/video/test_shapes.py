"""A circle stays a circle: container crops, and shapes that change in mid-stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import TooLargeError
from pipeline.ffmpeg.binaries import ffmpeg_version
from pipeline.probe.frame_headers import one_size
from pipeline.probe.streams.sample_frames import Shape
from pipeline.video.filters import applied
from pipeline.video.shapes import _add as add_shape
from pipeline.video.shapes import _frames as read_frames
from tests.support.films.circles import crop_in_container, make_circle, roundness
from tests.support.films.media import ffmpeg
from tests.support.films.oracle import clips_of, everything, plan_of
from tests.support.samples import mostly_slow

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:log-level=none")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-g", "15")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "2", "-g", "25")
VP9 = ("-c:v", "libvpx-vp9", "-b:v", "500k", "-g", "25", "-cpu-used", "8")
MP2, AAC, OPUS = ("-c:a", "mp2"), ("-c:a", "aac"), ("-c:a", "libopus")

#: Name -> (encoder, container, rotation of the container, kept width and height).
CROPS = {
    "h264 mp4": ((*H264, *AAC), ".mp4", 0, (160, 112)),
    "hevc mkv": ((*HEVC, *AAC), ".mkv", 0, (192, 80)),
    "mpeg4 mov turned": ((*MPEG4, *AAC), ".mov", 90, (128, 112)),
    "vp9 webm": ((*VP9, *OPUS), ".webm", 0, (144, 96)),
}


@pytest.mark.parametrize("case", mostly_slow(CROPS, ("h264 mp4", "mpeg4 mov turned")))
def test_the_crop_of_a_container_is_applied(case: str, tmp_path: Path) -> None:
    options, suffix, rotation, (width, height) = CROPS[case]
    whole = make_circle(tmp_path / "whole.mp4", *options, seconds=4)
    cropped = crop_in_container(whole, tmp_path / "cropped.mp4", width, height)
    path = tmp_path / f"film{suffix}"
    ffmpeg("-display_rotation", str(-rotation), "-i", cropped, "-c", "copy", path)
    plan = plan_of(path)
    if plan.probe.video.container_crop is None:
        assert ffmpeg_version() < "7.1"
        pytest.skip("this ffmpeg does not read crops of containers")
    x, y = (192 - width) // 2, (112 - height) // 2
    assert f"container crop {width}:{height}:{x}:{y}" in applied(plan.probe, None)
    frame = clips_of(plan)[0][1][3]
    shown = (height, width) if rotation else (width, height)
    assert frame.shape[1] / frame.shape[0] == pytest.approx(shown[0] / shown[1], rel=0.03)
    assert roundness(frame) == pytest.approx(1, abs=0.05)


#: Name -> (ending, encoder, shapes of both halves as (width, height, pixel aspect)).
CHANGES = {
    "ps mpeg2, wide to narrow": (
        ".mpg",
        (*MPEG2, *MP2),
        (192, 112, Fraction(28, 27)),
        (192, 112, Fraction(7, 9)),
    ),
    "ts mpeg2, narrow to wide": (
        ".ts",
        (*MPEG2, *MP2),
        (192, 112, Fraction(7, 9)),
        (192, 112, Fraction(28, 27)),
    ),
    "ts h264, turned upright": (
        ".ts",
        (*H264, *AAC),
        (192, 112, Fraction(1)),
        (112, 192, Fraction(1)),
    ),
    "ts hevc, turned to the side": (
        ".ts",
        (*HEVC, *AAC),
        (112, 192, Fraction(1)),
        (192, 112, Fraction(1)),
    ),
    "ts h264, other pixels and size": (
        ".ts",
        (*H264, *AAC),
        (144, 112, Fraction(4, 3)),
        (192, 144, Fraction(1)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CHANGES)
def test_shapes_that_change_keep_their_proportions(case: str, tmp_path: Path) -> None:
    suffix, options, *shapes = CHANGES[case]
    parts = []
    for number, (width, height, sar) in enumerate(shapes):
        part = tmp_path / f"{number}{suffix}"
        clock = ("-output_ts_offset", str(8 * number), "-muxdelay", "0", "-muxpreload", "0")
        make_circle(part, *options, *clock, size=(width, height), sar=sar)
        parts.append(part.read_bytes())
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"".join(parts))
    plan = plan_of(path)
    assert plan.probe.shapes[-1].start_ns == pytest.approx(8e9, abs=2e8)
    assert "same height, center" in applied(plan.probe, None)
    clips = clips_of(plan)
    assert plan.end_clip >= 9
    for number in set(clips) - {4, 5}:
        assert roundness(clips[number][1][3]) == pytest.approx(1, abs=0.06), number
    whole = everything(plan)
    for seconds in (1.7, 5.0):
        assert everything(plan_of(path, seconds=seconds)) == whole


@pytest.mark.slow
@pytest.mark.parametrize("options", [H264, HEVC, MPEG2], ids=lambda options: options[1])
def test_short_changes_are_found(options: tuple[str, ...], tmp_path: Path) -> None:
    """A spot of two seconds with other pixels, in a movie of which few keyframes are samples."""
    data, start = b"", 0
    for seconds, sar in ((23, Fraction(1)), (2, Fraction(4, 3)), (20, Fraction(1))):
        clock = ("-output_ts_offset", str(start), "-muxdelay", "0", "-muxpreload", "0")
        part = tmp_path / f"{start}.ts"
        make_circle(part, *options, *MP2, *clock, size=(192, 112), sar=sar, seconds=seconds)
        data, start = data + part.read_bytes(), start + seconds
    path = tmp_path / "film.ts"
    path.write_bytes(data)
    shapes = plan_of(path).probe.shapes
    assert [round(float(shape.sar), 1) for shape in shapes] == [1.0, 1.3, 1.0]
    assert shapes[1].start_ns / 1e9 == pytest.approx(23, abs=0.2)


@pytest.mark.parametrize("degrees", [90, pytest.param(180, marks=pytest.mark.slow)])
def test_clips_of_turned_frames_are_left_out(degrees: int, tmp_path: Path) -> None:
    """H.264 may say in the stream how each frame is turned."""
    start = make_circle(tmp_path / "0.ts", *H264, *MP2, seconds=5)
    turn = f"h264_metadata=display_orientation=insert:rotate={degrees}"
    shifted = ("-c", "copy", "-bsf:v", turn, "-output_ts_offset", "5")
    ffmpeg("-i", start, *shifted, tmp_path / "1.ts")
    path = tmp_path / "film.ts"
    path.write_bytes(start.read_bytes() + (tmp_path / "1.ts").read_bytes())
    plan = plan_of(path)
    turned = [shape for shape in plan.probe.shapes if shape.rotation]
    assert turned
    assert turned[0].start_ns / 1e9 == pytest.approx(5, abs=0.2)
    clips = clips_of(plan)
    assert {0, 1, 2} <= set(clips)
    assert 3 not in clips


#: Name -> (ending, options, size): `pad` would round such sizes down and fail.
SIZES = {
    "vp9 webm, odd": (".webm", (*VP9, *OPUS), (191, 113)),
    "mpeg4 avi, odd": (".avi", (*MPEG4, *MP2), (181, 111)),
    "svq1 mov, 4:1:0": (".mov", ("-c:v", "svq1", "-pix_fmt", "yuv410p", *AAC), (190, 112)),
    "h264 mp4, 4:4:4": (".mp4", ("-c:v", "libx264", "-pix_fmt", "yuv444p", *AAC), (191, 113)),
}


@pytest.mark.parametrize("case", mostly_slow(SIZES, ("vp9 webm, odd", "svq1 mov, 4:1:0")))
def test_frames_of_any_size_are_decoded(case: str, tmp_path: Path) -> None:
    suffix, options, size = SIZES[case]
    plan = plan_of(make_circle(tmp_path / f"film{suffix}", *options, size=size, seconds=4))
    clips = clips_of(plan)
    assert len(clips) == 2
    assert all(roundness(frames[3]) == pytest.approx(1, abs=0.05) for _, frames in clips.values())


def test_a_size_change_without_a_shape_change_does_not_matter(tmp_path: Path) -> None:
    """Adaptive streams: the larger frames are scaled like the smaller ones."""
    parts = []
    for number, size in enumerate(((192, 112), (384, 224))):
        clock = ("-output_ts_offset", str(8 * number))
        part = make_circle(tmp_path / f"{number}.ts", *H264, *AAC, *clock, size=size)
        parts.append(part.read_bytes())
    path = tmp_path / "film.ts"
    path.write_bytes(b"".join(parts))
    plan = plan_of(path)
    assert plan.probe.shapes == ()
    frames = clips_of(plan)
    assert roundness(frames[1][1][3]) == pytest.approx(1, abs=0.05)
    assert frames[8][1][3].shape == frames[1][1][3].shape
    # A radius of 30 pixels is half as large in frames of twice the size.
    lit = [(frames[number][1][3].mean(axis=2) > 140).sum() for number in (1, 8)]
    assert np.sqrt(lit[0] / lit[1]) == pytest.approx(2, rel=0.1)


#: Endings and encoders of movies whose headers prove one shape.
PROVED = [
    (".webm", (*VP9, *OPUS)),
    (".mkv", (*MPEG2, *MP2)),
    (".mp4", (*MPEG2, *AAC)),
    (".mov", (*MPEG4, *AAC)),
    (".mkv", ("-c:v", "mpeg1video", "-g", "15", "-bf", "2", *MP2)),
    (".mkv", (*MPEG2, "-bf", "2", "-flags", "+ilme+ildct", *MP2)),
]


@pytest.mark.parametrize("case", mostly_slow(PROVED, PROVED[:2]))
def test_a_proof_from_headers_replaces_decoding(
    case: tuple[str, tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ffmpeg decodes all frames of VP9, even if it is asked for keyframes only."""
    path = make_circle(tmp_path / f"film{case[0]}", *case[1], seconds=4)
    monkeypatch.setattr(one_size, "CODECS", frozenset())
    unproved = plan_of(path)
    assert not unproved.probe.has_one_shape
    whole = everything(unproved)
    monkeypatch.undo()
    monkeypatch.delattr("pipeline.video.shapes.FfmpegProcess")
    proved = plan_of(path)
    assert proved.probe.has_one_shape
    assert everything(proved) == whole


def test_mpeg_whose_shape_changes_is_not_proved(tmp_path: Path) -> None:
    data = b""
    for number, size in enumerate(((192, 112), (112, 192))):
        make_circle(tmp_path / f"{number}.mkv", *MPEG2, *MP2, size=size, seconds=4)
        raw = tmp_path / f"{number}.m2v"
        ffmpeg("-i", tmp_path / f"{number}.mkv", "-map", "0:v", "-c", "copy", raw)
        data += raw.read_bytes()
    joined = tmp_path / "joined.m2v"
    joined.write_bytes(data)
    path = tmp_path / "film.mkv"
    sound = ("-i", tmp_path / "0.mkv", "-map", "0:v", "-map", "1:a")
    ffmpeg("-fflags", "+genpts", "-r", "25", "-i", joined, *sound, "-c", "copy", path)
    assert not plan_of(path).probe.has_one_shape


def _listed(count: int, width: Callable[[int], int]) -> Iterator[bytes]:
    """ffprobe's JSON about so many keyframes, a second apart."""
    yield from (b"{", b'    "frames": [')
    for number in range(count):
        frame = {
            "best_effort_timestamp": number * 90_000,
            "width": width(number),
            "height": 112,
            "side_data_list": [{"side_data_type": "H.26[45] User Data"}],
        }
        text = json.dumps(frame, indent=4).replace("\n", "\n        ")
        yield from (f"        {text}{',' * (number < count - 1)}".encode().split(b"\n"))
    yield from (b"    ]", b"}")


def _kept(lines: Iterator[bytes]) -> tuple[list[Shape], int]:
    """The shapes of listed frames, and the largest number of them in memory."""
    shapes: list[Shape] = []
    most = 0
    for frame in read_frames(lines):
        time = frame["best_effort_timestamp"]
        add_shape(shapes, Shape(time, frame["width"], frame["height"], Fraction(1)), "film")
        most = max(most, len(shapes))
    return shapes, most


@pytest.mark.parametrize("changes", [0, 1, 40])
def test_shapes_are_kept_only_where_they_change(changes: int) -> None:
    count = 5_000
    step = count // (changes + 1) + 1
    shapes, most = _kept(_listed(count, lambda number: 192 + 16 * (number // step % 2)))
    assert most == len(shapes) == 2 * (changes + 1)
    assert [shape.start_ns // 90_000 for shape in shapes[::2]] == list(range(0, count, step))


def test_times_that_go_back_keep_the_order_of_time() -> None:
    """Recordings that were joined: the first one's last frames are shown after the second one's
    first, and all later ones have the shape of the second."""
    shapes: list[Shape] = []
    joined = [(time, 192) for time in range(0, 100, 6)] + [
        (time, 144) for time in range(90, 200, 6)
    ]
    for time, width in joined:
        add_shape(shapes, Shape(time, width, 112, Fraction(1)), "film")
    changes = [shape.start_ns for one, shape in pairwise(shapes) if one.width != shape.width]
    assert changes == [90, 96, 96]
    assert [(shape.start_ns, shape.width) for shape in shapes[-2:]] == [(96, 144), (198, 144)]


def test_a_shape_that_changes_all_the_time_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="film: its frames change their shape more than 500"):
        _kept(_listed(5_000, lambda number: 192 + 16 * (number % 2)))


def test_output_that_is_cut_off_or_endless_is_passed_over() -> None:
    whole = [*_listed(3, lambda number: 192)]
    assert len(_kept(iter(whole[:-5]))[0]) == 2
    endless = (*whole[:3], *[b" " * 1000] * 5000, *whole[3:])
    assert len(_kept(iter(endless))[0]) == 2
