"""Content that refers to other files or to the network is never followed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engine.failure_classes import CLASSES
from pipeline.errors import MovieError
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.movie.steps import prepare
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.recipe import Recipe
from shards_spec.storage.storage import Storage
from tests.support.films.hostile import Listener, hostile_files, pointing_elsewhere
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.films.opened import opened
from tests.support.launch.runs import preprocess
from tests.support.samples import mostly_slow

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("every", mostly_slow([1, 8], (8,)))
def test_no_content_opens_other_files_or_the_network(
    every: int, tmp_path: Path, canary: Path, listener: Listener
) -> None:
    """15 tricks with 7 targets: all of them, or every eighth."""
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for name, content in list(hostile_files(canary, listener).items())[::every]:
        (films / name).write_bytes(content)
    probed = 0
    for movie in find_movies(str(films)):
        with pytest.raises(MovieError):
            prepare(movie, opened(movie), Recipe(), 60.0)
        probed += 1
    assert probed == len(range(0, 7 * 15, every))
    # Some of them also in a complete run, along with a valid movie.
    chosen = sorted(films.iterdir())[:: 9 if every == 1 else 4]
    for path in chosen:
        path.rename(films / f"run_{path.name}")
    for path in films.iterdir():
        if not path.name.startswith("run_"):
            path.unlink()
    make_film(films / "good.mp4", Film(seconds=5))
    assert preprocess(films, out) == 1
    rows = open_dataset(str(out)).movies.to_pylist()
    assert len(rows) == len(chosen) + 1
    assert {row["movie_id"] for row in rows if row["num_clips"]} == {"good"}
    assert {row["status"] for row in rows} == {"done", "quarantined"}
    assert listener.count == 0
    assert validate(str(out)).ok


@pytest.mark.slow
def test_no_content_read_by_range_opens_anything_else(
    canary: Path, listener: Listener, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A movie may then open `http` addresses: its own and no other, for any content."""
    # Relative names find nothing next to a movie that is read by range.
    here = f"http://127.0.0.1:{listener.port}"
    monkeypatch.setenv("http_proxy", here)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    storage = Storage(s3_bucket)
    storage.put("canary.mp4", canary)
    hostile = hostile_files(canary, listener)
    for trick, content in pointing_elsewhere("canary.mp4").items():
        hostile[f"{trick}_beside.mp4"] = content
    for name, content in hostile.items():
        storage.put(name, content)
    movies = [movie for movie in find_movies(s3_bucket) if movie.movie_id != "canary"]
    assert len(movies) == 8 * 15
    for movie in movies:
        mark = fingerprint(movie)
        with (
            pytest.raises(MovieError) as caught,
            open_source(movie, mark) as source,
        ):
            prepare(movie, source, Recipe(), 60.0)
        assert CLASSES[caught.value.error_class].retry == "never", caught.value
        assert source.url not in str(caught.value)
    assert listener.count == 0
    # All of them have a target that can be read by range if it is requested.
    (good,) = [movie for movie in find_movies(s3_bucket) if movie.movie_id == "canary"]
    with open_source(good, fingerprint(good)) as source:
        assert prepare(good, source, Recipe(), 60.0).segments
    assert listener.count == 0
    # The attacks are real: without the demuxer whitelist, this file opens a connection.
    monkeypatch.delenv("http_proxy")
    (script,) = [movie for movie in movies if movie.movie_id == "concat_http"]
    with open_source(script, fingerprint(script)) as source:
        command = [ffmpeg_path(), "-f", "concat", "-safe", "0", "-protocol_whitelist", "http,tcp"]
        subprocess.run([*command, "-i", source.url, "-f", "null", "-"], check=False, timeout=500)
    assert listener.count > 0


def test_an_image_sequence_is_not_a_movie(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(seconds=1))
    ffmpeg("-i", tmp_path / "film.mkv", tmp_path / "shot%03d.jpg")
    (tmp_path / "shot%03d.mp4").write_bytes((tmp_path / "shot001.jpg").read_bytes())
    (movie,) = [m for m in find_movies(str(tmp_path)) if m.movie_id.startswith("shot")]
    with pytest.raises(MovieError):
        prepare(movie, opened(movie), Recipe(), 60.0)
