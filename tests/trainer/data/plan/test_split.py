"""Held-out groups, movies from one source, and copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import PolicyError
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.sources.split import MovieCopy, heldout_groups
from trainer.plan_report import describe, render

MakeDataset = Callable[..., Dataset]
SAME = "0123456789abcdef"


def test_heldout_membership_never_changes_as_a_dataset_grows() -> None:
    movies = [f"movie-{number}" for number in range(500)]
    few, many = heldout_groups(movies[:100], [], 0.2), heldout_groups(movies, [], 0.2)
    assert few.tolist() == many[:100].tolist()
    assert 60 < many.sum() < 140
    more = heldout_groups(movies, [], 0.3)
    assert (more | ~many).all(), "a larger fraction keeps those of a smaller one"


def test_heldout_always_has_a_movie() -> None:
    assert heldout_groups(["a", "b", "c"], [], 1e-9).sum() == 1
    assert heldout_groups(["a", "b", "c"], [], 0.0).sum() == 0
    assert heldout_groups([], [], 0.5).sum() == 0


def sides(dataset: Dataset, column: str, policy: BatchPolicy) -> tuple[set[str], set[str]]:
    """Values of a column for the training clips, and for the held-out clips."""
    train, out = (
        ClipIndex.from_dataset(dataset, dataclasses.replace(policy, split=side)).row
        for side in ("train", "heldout")
    )
    values = dataset.clips[column]
    return set(values.take(train).to_pylist()), set(values.take(out).to_pylist())


@pytest.mark.parametrize("group_by", ["movie_id", "group"])
def test_no_episode_of_a_held_out_show_is_used_for_training(
    make_toy_dataset: MakeDataset, tmp_path: Path, group_by: Literal["movie_id", "group"]
) -> None:
    dataset = make_toy_dataset(str(tmp_path), num_movies=24, clips_per_movie=1, movies_per_group=3)
    train, out = sides(dataset, "group", BatchPolicy(group_by=group_by, heldout_fraction=0.3))
    names = sorted(train | out)
    assert len(names) == 8
    assert not train & out
    is_out = heldout_groups(names, [], 0.3)
    assert out == {name for name, is_heldout in zip(names, is_out, strict=True) if is_heldout}


def test_a_single_group_cannot_be_split(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = make_toy_dataset(str(tmp_path), num_movies=3, clips_per_movie=2, movies_per_group=9)
    policy = BatchPolicy(heldout_fraction=0.3, split="train")
    with pytest.raises(PolicyError, match="with a single group, all its movies are"):
        ClipIndex.from_dataset(dataset, policy)


def with_sources(
    dataset: Dataset, fingerprints: Mapping[str, str] = {}, uris: Mapping[str, str] = {}
) -> Dataset:
    """The dataset with other sources for some movies."""
    movies = dataset.movies
    for column, changes in (("source_fingerprint", fingerprints), ("source_uri", uris)):
        values = [
            changes.get(movie_id, value)
            for movie_id, value in zip(
                movies["movie_id"].to_pylist(), movies[column].to_pylist(), strict=True
            )
        ]
        number = movies.schema.get_field_index(column)
        movies = movies.set_column(number, movies.schema.field(column), pa.array(values))
    return dataclasses.replace(dataset, movies=movies)


@pytest.fixture
def plain(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    return make_toy_dataset(str(tmp_path), num_movies=20, clips_per_movie=6)


@pytest.mark.parametrize("kind", ["copies", "parts of one file"])
def test_movies_of_one_source_are_on_one_side(plain: Dataset, kind: str) -> None:
    policy = BatchPolicy(heldout_fraction=0.3)
    train, out = sides(plain, "movie_id", policy)
    one, other = min(train), min(out)
    if kind == "copies":
        dataset = with_sources(plain, fingerprints={one: SAME, other: SAME})
    else:
        dataset = with_sources(plain, uris={one: "file:///a.mp4", other: "file:///a.mp4"})
    new_train, new_out = sides(dataset, "movie_id", policy)
    assert new_out == out - {other}, "what trains never becomes held out"
    assert new_train >= train - {one, other}
    assert one in new_train or other in new_train


def test_a_copy_is_left_out_and_reported(plain: Dataset) -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=2)
    copies = {"movie-003": SAME, "movie-011": SAME, "movie-015": SAME}
    dataset = with_sources(plain, copies)
    index = ClipIndex.from_dataset(dataset, policy)
    assert index.copies == (
        MovieCopy("movie-011", "movie-003", 6),
        MovieCopy("movie-015", "movie-003", 6),
    )
    plan = plan_epoch(index, policy, 0, 0)
    used = set(dataset.clips["movie_id"].take(plan.clips.ravel()).to_pylist())
    assert used <= {f"movie-{number:03d}" for number in range(20)} - {"movie-011", "movie-015"}
    report = describe(index, 0, 0)
    assert report.num_eligible == 18 * 6
    assert report.to_json()["copies"][0] == {
        "movie_id": "movie-011",
        "copy_of": "movie-003",
        "num_clips": 6,
    }
    cells = [str(cell) for cell in render(report).columns[1].cells]
    assert "2 movies with 12 clips: movie-011 (as movie-003), movie-015 (as movie-003)" in cells


def test_a_copy_is_used_where_the_first_one_is_filtered_out(plain: Dataset) -> None:
    dataset = with_sources(plain, {"movie-003": SAME, "movie-011": SAME})
    policy = BatchPolicy(where="movie_id != 'movie-003'")
    index = ClipIndex.from_dataset(dataset, policy)
    assert index.copies == ()
    assert index.num_eligible == 19 * 6


@pytest.mark.parametrize("text", ["", "toy", "unknown", "0123456789ABCDEF"])
def test_invalid_fingerprints_do_not_make_copies(plain: Dataset, text: str) -> None:
    ids = plain.movies["movie_id"].to_pylist()
    index = ClipIndex.from_dataset(with_sources(plain, dict.fromkeys(ids, text)), BatchPolicy())
    assert index.copies == ()


def test_the_same_fingerprint_with_another_length_is_not_a_copy(plain: Dataset) -> None:
    dataset = with_sources(plain, {"movie-003": SAME, "movie-011": SAME})
    lengths = dataset.movies["duration_ns"].to_pylist()
    lengths[11] += 1
    number = dataset.movies.schema.get_field_index("duration_ns")
    field = dataset.movies.schema.field("duration_ns")
    movies = dataset.movies.set_column(number, field, pa.array(lengths, field.type))
    dataset = dataclasses.replace(dataset, movies=movies)
    assert ClipIndex.from_dataset(dataset, BatchPolicy()).copies == ()


def test_offsets_hold_out_disjoint_sets_that_are_all_movies() -> None:
    movies = [f"m{number}" for number in range(200)]
    linked = [("m3", "m70", "m150"), ("m9", "m10")]
    folds = [heldout_groups(movies, linked, 0.2, offset=number / 5) for number in range(5)]
    assert (folds[0] == heldout_groups(movies, linked, 0.2)).all()
    number_of_folds = sum(fold.astype(int) for fold in folds)
    alone = np.array([name not in {m for own in linked for m in own} for name in movies])
    assert (number_of_folds[alone] == 1).all()
    for fold in folds:
        for own in linked:
            assert len({bool(fold[int(name[1:])]) for name in own}) == 1
