"""Truncated movies are recognized by their declared duration."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.errors import IncompleteError, NoAudioStreamError, TooShortError
from pipeline.movie.steps import prepare
from pipeline.sources.corpus import find_movies
from shards_spec.recipe import NANOSECONDS, Recipe
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import opened
from tests.support.samples import mostly_slow

RECIPE = Recipe(short_side=32, num_frames=8, crop_bars=False)
MP2 = ("-c:a", "mp2")

FILMS = {
    "a.mkv": Film(seconds=12),
    "faststart.mp4": Film(seconds=12, extra=("-movflags", "+faststart")),
    "a.flv": Film(seconds=12),
    "a.avi": Film(seconds=12, video=("-c:v", "mpeg4"), audio=MP2),
    # ffmpeg ignores the header's duration of a truncated file.
    "a.wmv": Film(seconds=12, video=("-c:v", "wmv2"), audio=("-c:a", "wmav2")),
    "a.asf": Film(seconds=12, video=("-c:v", "msmpeg4"), audio=MP2),
    "ntsc.avi": Film(seconds=12, fps=Fraction(30000, 1001), audio=MP2),
}


def _cut(path: Path, fraction: float) -> Path:
    data = path.read_bytes()
    cut = path.with_name(f"cut-{path.name}")
    cut.write_bytes(data[: round(len(data) * fraction)])
    return cut


@pytest.mark.parametrize("name", mostly_slow(FILMS, ("a.mkv", "faststart.mp4", "a.wmv")))
def test_a_truncated_movie_reports_how_much_is_missing(tmp_path: Path, name: str) -> None:
    whole = make_film(tmp_path / name, FILMS[name])
    (movie,) = find_movies(str(whole))
    assert prepare(movie, opened(movie), RECIPE, 60.0, "fail").probe.missing_ns == 0
    (cut,) = find_movies(str(_cut(whole, 0.6)))
    probe = prepare(cut, opened(cut), RECIPE, 60.0).probe
    assert 2 < probe.missing_ns / NANOSECONDS < 8
    assert abs(probe.missing_ns + probe.duration_ns - 12 * NANOSECONDS) < 0.3 * NANOSECONDS
    with pytest.raises(IncompleteError, match=r"of 1[12]\.\d s are missing at the end") as caught:
        prepare(cut, opened(cut), RECIPE, 60.0, "fail")
    assert caught.value.known["probe"].video.codec == probe.video.codec


@pytest.mark.parametrize(
    ("name", "film"),
    [
        ("no_declaration.ts", Film(seconds=6, audio=MP2)),
        ("no_declaration.mpg", Film(seconds=6, video=("-c:v", "mpeg2video"), audio=MP2)),
        ("live.mkv", Film(seconds=6, extra=("-live", "1", "-f", "matroska"))),
    ],
)
def test_without_a_declaration_nothing_is_missing(tmp_path: Path, name: str, film: Film) -> None:
    (movie,) = find_movies(str(_cut(make_film(tmp_path / name, film), 0.7)))
    assert prepare(movie, opened(movie), RECIPE, 60.0, "fail").probe.missing_ns == 0


def test_audio_that_is_longer_than_the_video_is_not_missing_video(tmp_path: Path) -> None:
    long, short = Film(seconds=8), Film(seconds=4)
    make_film(tmp_path / "long.mkv", long)
    make_film(tmp_path / "short.mkv", short)
    for name in ("joined.mkv", "joined.flv", "joined.mp4", "joined.wmv"):
        sources = ("-i", tmp_path / "short.mkv", "-i", tmp_path / "long.mkv")
        ffmpeg(*sources, "-map", "0:v", "-map", "1:a", "-c", "copy", tmp_path / name)
        (movie,) = find_movies(str(tmp_path / name))
        assert prepare(movie, opened(movie), RECIPE, 60.0, "fail").probe.missing_ns == 0


@pytest.mark.parametrize(
    "name", mostly_slow(["wrong.mkv", "wrong.flv", "wrong.mov"], ("wrong.flv",))
)
def test_a_duration_from_a_wrong_timestamp_is_not_believed(name: str, tmp_path: Path) -> None:
    """The muxer computes the duration that it declares from the same timestamps."""
    whole = make_film(tmp_path / "whole.mkv", Film(seconds=4))
    glitch = "setts=pts='if(eq(N,60),PTS+500/TB,PTS)'"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", glitch, tmp_path / name)
    (movie,) = find_movies(str(tmp_path / name))
    probe = prepare(movie, opened(movie), RECIPE, 60.0, "fail").probe
    assert (len(probe.outliers), probe.missing_ns) == (1, 0)
    assert probe.duration_ns == pytest.approx(4 * NANOSECONDS, abs=1e8)


@pytest.mark.parametrize("name", mostly_slow(["late.mkv", "late.nut", "late.ts"], ("late.ts",)))
def test_movies_whose_times_start_late_are_whole(name: str, tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mkv", Film(seconds=4))
    ffmpeg("-i", whole, "-c", "copy", "-output_ts_offset", "100", tmp_path / name)
    (movie,) = find_movies(str(tmp_path / name))
    probe = prepare(movie, opened(movie), RECIPE, 60.0, "fail").probe
    assert probe.missing_ns == 0
    assert probe.start_ns == pytest.approx(100 * NANOSECONDS, abs=2e9)


@pytest.mark.parametrize("suffix", mostly_slow([".mp4", ".mov", ".mkv"], (".mp4",)))
def test_a_late_start_is_not_a_missing_end(tmp_path: Path, suffix: str) -> None:
    """Declared durations of such files include the time before the first frame."""
    make_film(tmp_path / "film.mp4", Film(seconds=6))
    late = tmp_path / f"late{suffix}"
    ffmpeg("-itsoffset", "2.5", "-i", tmp_path / "film.mp4", "-map", "0", "-c", "copy", late)
    (movie,) = find_movies(str(late))
    found = prepare(movie, opened(movie), RECIPE, 60.0, "fail").probe
    assert found.start_ns / NANOSECONDS == pytest.approx(2.5, abs=0.1)
    assert found.missing_ns == 0


def test_failures_carry_the_known_properties(tmp_path: Path) -> None:
    make_film(tmp_path / "mute.mkv", Film(seconds=4, audio=()))
    make_film(tmp_path / "short.mp4", Film(seconds=1))
    for name, error, names in [
        ("mute.mkv", NoAudioStreamError, {"video"}),
        ("short.mp4", TooShortError, {"probe", "crop"}),
    ]:
        (movie,) = find_movies(str(tmp_path / name))
        with pytest.raises(error) as caught:
            prepare(movie, opened(movie), RECIPE, 60.0)
        assert set(caught.value.known) == names
