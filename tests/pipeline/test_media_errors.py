"""Films that cannot be used: each cause has its class, and a message that says what to do."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest
from media import Film, ffmpeg, make_film
from oracle import plan_of

from pipeline.corpus import Movie
from pipeline.errors import EncryptedError, ImplausibleError, MediaError, NoFramesError
from pipeline.streams import VideoStream, require_plausible

FILM = Film(seconds=4)
CENC = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb")
CENC += ("-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")


def encrypted(folder: Path) -> Path:
    whole, path = make_film(folder / "whole.mp4", FILM), folder / "film.mp4"
    ffmpeg("-i", whole, "-c", "copy", *CENC, path)
    return path


def frameless(folder: Path) -> Path:
    """A video track without one packet, beside real sound."""
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
        (frameless, NoFramesError, "not one frame of the 0 packets .* replace the file"),
        (scrambled, NoFramesError, "not one frame .* set FFMPEG_BINARY"),
    ],
)
def test_each_cause_has_its_class(
    make: object, error: type[MediaError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        plan_of(make(tmp_path))  # type: ignore[operator]


def test_dimensions_and_durations_that_no_movie_has() -> None:
    movie = Movie(movie_id="m", uri="file:///m.mp4", group="m", num_bytes=1)
    video = VideoStream(
        index=0,
        codec="h264",
        width=8192,
        height=8192,
        sar=Fraction(1),
        rotation=0,
        time_base=Fraction(1, 1000),
        avg_frame_rate="25/1",
        field_order="",
        hdr="",
    )
    hour_ns = 3600 * 10**9
    require_plausible(movie, video, 100 * hour_ns)
    with pytest.raises(ImplausibleError, match=r"101\.0 hours; .* remux the file"):
        require_plausible(movie, video, 101 * hour_ns)
    with pytest.raises(ImplausibleError, match="60000x8192 pixels"):
        require_plausible(movie, dataclasses.replace(video, width=60_000), hour_ns)


def test_classes_are_distinct() -> None:
    names = [kind.error_class for kind in MediaError.__subclasses__()]
    assert len(set(names)) == len(names)
    assert {"encrypted", "no_frames", "implausible", "no_decoder"} <= set(names)
