"""Fixtures for tests of movies that are read by range."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.sources import Movie
from pipeline.sources import read_ahead as blocks
from pipeline.sources.corpus import find_movies
from shards_spec.storage.storage import Storage
from tests.support.films.media import Film, ffmpeg, make_film


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With small blocks, short movies have many, and most are evicted and fetched again."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 15)
    monkeypatch.setattr(blocks, "NUM_CACHED", 5)
    monkeypatch.setattr(blocks, "NUM_AHEAD", 2)
    monkeypatch.setattr("pipeline.sources.fetch._RETRY_SECONDS", 0.05)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One movie in containers with their index in different positions, or without one."""
    folder = tmp_path_factory.mktemp("films")
    mp4 = make_film(folder / "end.mp4", Film(seconds=13, gop=25))
    made = {"end.mp4": mp4}
    for name, options in {
        "start.mp4": ("-c", "copy", "-movflags", "+faststart"),
        "parts.mp4": ("-c", "copy", "-movflags", "+frag_keyframe+empty_moov"),
        "film.mkv": ("-c", "copy"),
        "film.ts": ("-c", "copy"),
        "film.avi": ("-c:v", "mpeg4", "-g", "25", "-c:a", "libmp3lame"),
    }.items():
        ffmpeg("-i", mp4, *options, folder / name)
        made[name] = folder / name
    return made


@pytest.fixture
def ts_movie(films: dict[str, Path], s3_bucket: str) -> Movie:
    """A movie in a container that may end anywhere without an error from ffmpeg."""
    Storage(s3_bucket).put("film.ts", films["film.ts"])
    (movie,) = find_movies(s3_bucket)
    return movie
