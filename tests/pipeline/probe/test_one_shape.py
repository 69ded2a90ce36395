"""One shape is proved without decoding, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.probe.containers.one_shape import _messages as messages
from pipeline.probe.containers.one_shape import has_one_shape
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import opened_file

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:log-level=none")


def is_proved(path: Path, codec: str) -> bool:
    return has_one_shape(opened_file(path), (), 0, codec, path.name)


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
