"""Recipes that want few clips: the samples are those of a run of all, and what is reported."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.movie.alone import shard_movie
from pipeline.sources.corpus import find_movies
from shards_spec.dataset.browser.catalog import Catalog
from shards_spec.dataset.browser.timeline import timeline_of
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation.validator import validate
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage
from tests.support.datasets.outcome import digests
from tests.support.films.media import Film, make_film
from tests.support.launch.runs import preprocess

FEW = Recipe(num_frames=4, short_side=64, clips_per_movie=4)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One movie that is long enough for a choice, and one with fewer clips than are wanted."""
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "long.mp4", Film(seconds=20, width=96, height=64, gop=25))
    make_film(folder / "short.mkv", Film(seconds=4, width=96, height=64, gop=25))
    return folder


@pytest.fixture(scope="module")
def few(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """The dataset of four clips of the long movie."""
    [movie] = [movie for movie in find_movies(str(films)) if movie.movie_id == "long"]
    storage = Storage(str(tmp_path_factory.mktemp("few")))
    shard_movie(movie, FEW, storage)
    return storage


def _movies(out: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(out / "index/movies.parquet").to_pylist()
    return {row["movie_id"]: row for row in rows}


def _samples(out: Path, movie_id: str) -> dict[str, bytes]:
    """Members of all shards by name; rows without shot and shard."""
    found = {}
    for path in out.glob(f"shards/{movie_id}/*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
                if member.name.endswith(".json"):
                    row = json.loads(found[member.name]) | {"shot_id": 0, "shard": ""}
                    found[member.name] = json.dumps(row, sort_keys=True).encode()
    return found


def test_a_dataset_of_few_clips_is_valid(few: Storage) -> None:
    assert validate(few).ok
    row, clips = read_commit(few, "long")
    assert (row.num_clips, row.num_dropped, row.clips_not_chosen) == (4, 0, 21)
    assert sorted(clip.clip_number for clip in clips) == list(FEW.chosen_clips("long", 25))
    assert sorted(clip.shot_id for clip in clips) == [0, 1, 2, 3]
    assert row.decode_route in ("pass", "seeks")
    assert row.video_decode_seconds > 0
    assert 0 < row.predicted_decode_seconds <= row.predicted_pass_seconds


def test_validate_finds_clips_that_were_not_chosen(few: Storage) -> None:
    row, clips = read_commit(few, "long")
    try:
        write_commit(few, replace(row, clips_not_chosen=20), clips)
        write_index(few, FEW, "test")
        found = validate(few).check("recipe")
        assert found.examples[0].message == "is not one of the clips that the recipe chooses"
        write_commit(few, replace(row, clips_not_chosen=0), clips)
        write_index(few, replace(FEW, clips_per_movie=2), "test")
        found = validate(few).check("recipe")
        assert found.examples[0].message.endswith("the recipe chooses 2 of 4")
    finally:
        write_commit(few, row, clips)
        write_index(few, FEW, "test")


def test_clips_that_were_not_chosen_do_not_look_dropped(few: Storage) -> None:
    dataset = open_dataset(few)
    catalog = Catalog(dataset)
    movie, clips = catalog.movie("long"), catalog.clips_of("long")
    assert timeline_of(movie, clips, FEW).dropped == ()
    numbers = FEW.chosen_clips("long", 25)
    dark = timeline_of({**movie, "dropped_black": 1, "num_clips": 3}, clips.slice(1), FEW)
    [run] = dark.dropped
    assert (run.num_clips, run.reasons) == (1, ("black",))
    assert run.start_ns == FEW.grid_ns(numbers[0] * 4)
    hostile = {**movie, "clips_not_chosen": 2**31 - 1, "dropped_black": 2**31 - 1}
    assert timeline_of(hostile, clips, FEW).dropped == ()


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("clips", ["uniform", "shots"])
def test_runs_of_few_clips(clips: str, films: Path, tmp_path: Path) -> None:
    small = ("--num-frames", "4", "--workers", "1", "--clips", clips)
    full, first, second = tmp_path / "full", tmp_path / "first", tmp_path / "second"
    wanted = ("--clips-per-movie", "6")
    assert preprocess(films, full, *small) == 0
    assert preprocess(films, first, *small, *wanted, "--seeks", "never") == 0
    options = ("--seeks", "always", "--segment-seconds", "2", "--decode", "full")
    assert preprocess(films, second, *small, *wanted, *options) == 0
    assert digests(first) == digests(second)
    for movie_id in ("long", "short"):
        every, chosen = _samples(full, movie_id), _samples(first, movie_id)
        assert {name: every[name] for name in chosen} == chosen
    movies, others = _movies(first), _movies(second)
    num_long = _movies(full)["long"]["num_clips"]
    assert (movies["long"]["num_clips"], movies["long"]["clips_not_chosen"]) == (6, num_long - 6)
    assert movies["short"]["num_clips"] == _movies(full)["short"]["num_clips"]
    assert movies["short"]["clips_not_chosen"] == 0
    assert movies["long"]["decode_route"] == "pass"
    assert others["long"]["decode_route"] == ("seeks" if clips == "uniform" else "pass")
    # The same recipe keeps the movies, another one processes them again.
    before = sorted((first / "shards").rglob("*.tar"))
    assert preprocess(films, first, *small, *wanted) == 0
    assert sorted((first / "shards").rglob("*.tar")) == before
    assert preprocess(films, first, *small, "--clips-per-movie", "0.2") == 0
    assert _movies(first)["long"]["num_clips"] == round(0.2 * num_long)
    assert validate(Storage(str(first))).ok
    assert preprocess(films, first, *small) == 0
    assert _movies(first)["long"]["num_clips"] == num_long
    assert _samples(first, "long") == _samples(full, "long")
