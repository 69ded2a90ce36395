"""Movies read by range: the same output as from a file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.console.sync_check import check_sync
from pipeline.movie import steps
from pipeline.sources import Movie
from pipeline.sources.access import is_by_range, open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from shards_spec.storage.storage import Storage
from tests.support.datasets.outcome import shard_digests
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import preprocess
from tests.support.stores.ranged import RECIPE, steps_of, web_movie

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3.0, pytest.param(60.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", ["end.mp4", "start.mp4", "parts.mp4", "film.mkv", "film.ts", "film.avi"]
)
def test_ranged_staged_and_local_movies_give_equal_results(
    name: str,
    seconds: float,
    films: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (local,) = find_movies(str(films[name]))
    whole = steps_of(local, seconds, by_range=False)
    with web_movie(films[name]) as (remote, _):
        assert remote.etag
        assert steps_of(remote, seconds, by_range=True) == whole
        assert not list(tmp_path.iterdir())
        assert steps_of(remote, seconds, by_range=False) == whole


def test_a_movie_in_a_bucket(films: dict[str, Path], s3_bucket: str) -> None:
    Storage(s3_bucket).put("end.mp4", films["end.mp4"])
    (remote,), (local,) = find_movies(s3_bucket), find_movies(str(films["end.mp4"]))
    assert steps_of(remote, 5.0, by_range=True) == steps_of(local, 5.0, by_range=False)


@pytest.mark.slow
def test_a_segment_reads_only_its_part_of_the_movie(tmp_path: Path) -> None:
    # Uncompressed, 14 MB: the bytes lost in connections that ffmpeg closes are few in comparison.
    raw = ("-c:v", "rawvideo", "-pix_fmt", "yuv420p")
    path = make_film(tmp_path / "long.mkv", Film(seconds=60, width=96, height=64, video=raw))
    with web_movie(path) as (movie, handler):
        mark = fingerprint(movie)
        with open_source(movie, mark) as source:
            plan = steps.prepare(movie, source, RECIPE, 5.0)
        assert len(plan.segments) == 12
        handler.num_bytes = 0
        with open_source(movie, mark) as source:
            steps.run_segment(plan, plan.segments[6], source)
        assert movie.num_bytes / 12 < handler.num_bytes < movie.num_bytes / 2


def test_which_movies_are_read_by_range(tmp_path: Path) -> None:
    remote = Movie(movie_id="a", uri="s3://b/a.mp4", group="a", num_bytes=3 << 30)
    local = replace(remote, uri="file:///a.mp4")
    assert not any(is_by_range(local, mode, 2.0, 9) for mode in ("auto", "ranged", "staged"))
    assert is_by_range(remote, "ranged", 200.0, 1)
    assert not is_by_range(remote, "staged", 200.0, 9)
    assert not is_by_range(remote, "auto", 200.0, 4)
    assert is_by_range(remote, "auto", 200.0, 5)
    assert is_by_range(remote, "auto", 2.0, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_run_that_reads_by_range(
    films: dict[str, Path], s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("end.mp4", "film.mkv"):
        os.link(films[name], folder / name)
        Storage(s3_bucket).put(name, films[name])
    options = ["--segment-seconds", "4"]
    assert preprocess(folder, tmp_path / "whole", *options) == 0
    assert preprocess(s3_bucket, tmp_path / "out", *options, "--sources", "ranged") == 0
    out, whole = (Storage(str(tmp_path / name)) for name in ("out", "whole"))
    assert shard_digests(out) == shard_digests(whole) != {}


def test_check_sync_of_a_movie_in_a_bucket(ts_movie: Movie, films: dict[str, Path]) -> None:
    here, there = check_sync(str(films["film.ts"]), "", -1), check_sync(ts_movie.uri, "", -1)
    assert here.probe == there.probe
    assert here.audio == there.audio
