"""A file that describes far more than it holds costs little, and is not retried."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from benchmarks.faults.bombs import look_apart
from pipeline.engine.failure_classes import failure_class
from pipeline.errors import MovieError, TooLargeError
from pipeline.limits import Limits
from pipeline.movie.steps import prepare
from pipeline.probe.streams import first_look
from pipeline.sources.corpus import find_movies
from shards_spec.recipe import Recipe
from tests.support.films import bombs
from tests.support.films.bombs import STEADY, Tables, movie_of
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import opened

#: Of a worker's first look, beyond its modules; and of any program that it runs. MiB.
MOST_WORKER_MIB = 1_500
MOST_PROGRAM_MIB = 2_300


def error_of(path: Path, limits: Limits | None = None) -> MovieError:
    (movie,) = find_movies(str(path))
    source = opened(movie)
    source.limits = limits or Limits()
    with pytest.raises(MovieError) as caught:
        prepare(movie, source, Recipe(), 60.0)
    assert failure_class(caught.value).retry == "never", caught.value
    return caught.value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bombs.repeated_chunk(3, 70_000), "200,000 packets in a file of 28"),
        pytest.param(
            bombs.repeated_chunk(700, 300),
            "200,000 packets in a file of",
            marks=pytest.mark.slow,
        ),
        (movie_of(STEADY, *(bombs.audio_track(48_000, 2, 28, n) for n in range(300))), "streams"),
        (movie_of(STEADY, bombs.audio_track(2_000_000_000, 2, 28)), "2,000,000,000 Hz"),
        (movie_of(STEADY, bombs.audio_track(12, 2, 28)), "2 channels at 12 Hz"),
        (movie_of(STEADY, bombs.audio_track(48_000, 2000, 28)), "channels"),
        (movie_of(Tables(4, width=65535, height=65535)), "none that can be decoded"),
    ],
    ids=["chunks", "long chunks", "streams", "high rate", "low rate", "channels", "frames"],
)
def test_a_bomb_fails_once_with_its_reason(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.mov").write_bytes(content)
    assert message in str(error_of(tmp_path / "bomb.mov"))


def test_packets_are_limited_whatever_the_size_of_the_file(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", Film(seconds=4, width=64, height=48))
    error = error_of(film, Limits(max_packets=99))
    assert isinstance(error, TooLargeError)
    assert "--max-packets" in str(error)
    (movie,) = find_movies(str(film))
    source = opened(movie)
    source.limits = Limits(max_packets=100)
    assert prepare(movie, source, Recipe(), 60.0).segments


def test_more_frames_than_time_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_look, "ANY_SIZE_PACKETS", 1_000)
    dense = Tables(1_400, stts=struct.pack(">IIII", 2, 300, 1_398, 0), chunks=1_400)
    (tmp_path / "dense.mov").write_bytes(movie_of(dense) + bytes(200_000))
    assert "1,400 frames in 1.0 s" in str(error_of(tmp_path / "dense.mov"))


def test_long_tags_are_cut_and_do_not_fail_a_movie(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", Film(seconds=4, width=64, height=48))
    words = ["-metadata:s:a:0", "title=" + "t" * 90_000, "-metadata", "comment=" + "c" * 90_000]
    ffmpeg("-i", film, "-c", "copy", *words, tmp_path / "tagged.mkv")
    (movie,) = find_movies(str(tmp_path / "tagged.mkv"))
    plan = prepare(movie, opened(movie), Recipe(), 60.0)
    assert plan.probe.audio.title == "t" * first_look.MAX_TEXT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * 400, "x" * 300),
        ({"k" * 400: ["y" * 301, 7, None]}, {"k" * 300: ["y" * 300, 7, None]}),
        (12, 12),
    ],
)
def test_texts_are_cut_at_any_depth(value: object, expected: object) -> None:
    assert first_look.clipped(value) == expected


@pytest.mark.exhaustive
@pytest.mark.timeout(1500)
def test_bombs_of_every_kind_stay_within_memory(tmp_path: Path) -> None:
    paths = bombs.make_bombs(tmp_path, scale=1)
    assert len(paths) >= 18
    for path in paths.values():
        outcome = look_apart(path)
        assert outcome.is_final, outcome
        assert outcome.worker_mib < MOST_WORKER_MIB, outcome
        assert outcome.program_mib < MOST_PROGRAM_MIB, outcome
