"""One shape is proved without decoding, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.probe.containers.one_shape import _messages as messages
from pipeline.probe.containers.one_shape import examine_units
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import opened_file

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:log-level=none")


def is_proved(path: Path, codec: str) -> bool:
    return examine_units(opened_file(path), (), 0, codec, path.name).has_one_shape


@pytest.mark.parametrize(("codec", "options"), [("h264", H264), ("hevc", HEVC)])
@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_an_ordinary_stream_has_one_shape(
    codec: str, options: tuple[str, ...], suffix: str, tmp_path: Path
) -> None:
    film = Film(seconds=3, gop=25, video=options, width=96, height=64)
    assert is_proved(make_film(tmp_path / f"film{suffix}", film), codec)


@pytest.mark.parametrize(
    "change", ["sample_aspect_ratio=4/3", "crop_right=8", "display_orientation"]
)
def test_another_shape_is_noticed(change: str, tmp_path: Path) -> None:
    change += "=insert:rotate=90" if change == "display_orientation" else ""
    plain = make_film(tmp_path / "0.ts", Film(seconds=2, gop=25, video=H264, width=96, height=64))
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata={change}", tmp_path / "1.ts")
    film = tmp_path / "film.ts"
    film.write_bytes(plain.read_bytes() + (tmp_path / "1.ts").read_bytes())
    assert is_proved(plain, "h264")
    assert not is_proved(film, "h264")


@pytest.mark.parametrize(
    ("options", "is_plain"),
    [
        (H264, True),
        (HEVC, True),
        ((*H264, "-flags", "+ildct+ilme"), False),
        ((*H264, "-x264-params", "pic-struct=1"), False),
        ((*HEVC[:-1], f"{HEVC[-1]}:pic-struct=0:hrd=1:vbv-maxrate=900:vbv-bufsize=900"), False),
        ((*HEVC[:-1], f"{HEVC[-1]}:max-cll=900,200"), False),
    ],
)
def test_streams_with_fields_or_metadata_are_not_plain(
    options: tuple[str, ...], is_plain: bool, tmp_path: Path
) -> None:
    path = make_film(
        tmp_path / "film.mp4", Film(seconds=2, gop=25, video=options, width=96, height=64)
    )
    codec = "h264" if "libx264" in options else "hevc"
    same = examine_units(opened_file(path), (), 0, codec, path.name)
    assert same.has_one_shape
    assert same.is_plain == is_plain


@pytest.mark.parametrize(("codec", "options"), [("h264", H264), ("hevc", HEVC)])
@pytest.mark.parametrize(("suffix", "is_so"), [(".mp4", True), (".ts", False)])
def test_sets_in_packets_are_noticed(
    codec: str, options: tuple[str, ...], suffix: str, is_so: bool, tmp_path: Path
) -> None:
    film = Film(seconds=2, gop=25, video=options, width=96, height=64)
    path = make_film(tmp_path / f"film{suffix}", film)
    same = examine_units(opened_file(path), (), 0, codec, path.name)
    assert same.are_configured_once == is_so


def test_other_codecs_prove_nothing(tmp_path: Path) -> None:
    film = Film(seconds=2, video=("-c:v", "mpeg2video"), width=96, height=64)
    assert not is_proved(make_film(tmp_path / "film.mkv", film), "mpeg2video")


@pytest.mark.parametrize(
    ("payload", "types"),
    [
        (b"\x05\x02ab\x80", [5]),
        (b"\x01\x01a\x2f\x03abc\x80", [1, 47]),
        (b"\xff\x2f\x01a\x80", [302]),
        (b"\x05\xff\x01" + 256 * b"x" + b"\x2f\x01a\x80", [5, 47]),
        (b"\x05\x04\x00\x00\x03\x01a\x06\x00\x80", [5, 6]),
        (b"", []),
        (b"\x05", [47]),
    ],
)
def test_messages_of_a_unit(payload: bytes, types: list[int]) -> None:
    assert list(messages(payload)) == types
