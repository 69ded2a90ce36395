"""Movies that cannot be used: each cause has its class and a message with advice."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest

from pipeline.errors import DolbyVisionError, EncryptedError, MovieError, NoFramesError
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.oracle import plan_of

FILM = Film(seconds=4)
CENC = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb")
CENC += ("-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")


def encrypted(folder: Path) -> Path:
    whole, path = make_film(folder / "whole.mp4", FILM), folder / "film.mp4"
    ffmpeg("-i", whole, "-c", "copy", *CENC, path)
    return path


def frameless(folder: Path) -> Path:
    """A video track without packets, next to real audio."""
    whole, path = make_film(folder / "whole.mkv", FILM), folder / "film.mkv"
    drop = ("-bsf:v", "noise=drop=1")
    ffmpeg("-i", whole, "-c", "copy", *drop, path)
    return path


def scrambled(folder: Path) -> Path:
    """Every packet of the video track is noise."""
    whole, path = make_film(folder / "whole.mkv", FILM), folder / "film.mkv"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", "noise=amount=1", path)
    return path


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (encrypted, EncryptedError, "decrypt the file or remove it"),
        (frameless, NoFramesError, "no frame of the 0 packets .* replace the file"),
        (scrambled, NoFramesError, "no frame .* set FFMPEG_BINARY"),
    ],
)
def test_each_cause_has_its_class(
    make: object, error: type[MovieError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        plan_of(make(tmp_path))  # type: ignore[operator]


def dolby_vision(folder: Path, profile: int, base: int) -> Path:
    """HEVC with a Dolby Vision configuration record in its sample entry."""
    path = folder / "film.mp4"
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
    make_film(path, dataclasses.replace(FILM, video=(*x265, "-tag:v", "hvc1")))
    data = bytearray(path.read_bytes())
    # Present: metadata and the base layer (bits 2 and 0); level 1.
    words = (profile << 9 | 1 << 3 | 0b101).to_bytes(2, "big") + bytes([base << 4])
    box = struct.pack(">I4s", 32, b"dvcC") + b"\x01\x00" + words + bytes(19)
    place = data.index(b"hvcC") - 4
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        at = data.rindex(name, 0, place) - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + len(box)).to_bytes(4, "big")
    path.write_bytes(bytes(data[:place] + box + data[place:]))
    return path


def test_dolby_vision_needs_a_base_layer(tmp_path: Path) -> None:
    with pytest.raises(DolbyVisionError, match=r"profile 5 without an HDR10 .* use a version with"):
        plan_of(dolby_vision(tmp_path, profile=5, base=0))
    # Profile 8.1: its base layer is HDR10.
    assert plan_of(dolby_vision(tmp_path, profile=8, base=1)).end_clip == 2


def test_classes_are_distinct() -> None:
    names = [kind.error_class for kind in MovieError.__subclasses__()]
    assert len(set(names)) == len(names)
    assert {"encrypted", "no_frames", "dolby_vision_only", "no_decoder"} <= set(names)
