"""The index in parts: the same tables for any order of updates, and no needless reads."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.dataset.index import (
    read_commit,
    read_committed_movies,
    read_indexed_movies,
    update,
    write_commit,
    write_index,
)
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.storage import Storage
from tests.support.samples import mostly_slow

Commits = dict[str, tuple[Any, Any]]


@pytest.fixture
def commits(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Commits:
    """Commit records of ten movies with eight clips each."""
    storage = make_toy_dataset(str(tmp_path / "all"), num_movies=10).storage
    return {name: read_commit(storage, name) for name in read_committed_movies(storage)}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two movies."""
    monkeypatch.setattr(update, "PART_CLIPS", 16)


def tables(storage: Storage) -> tuple[Any, Any]:
    return tuple(
        pq.read_table(storage.local_path(key)).to_pylist()
        for key in (layout.CLIPS_PARQUET, layout.MOVIES_PARQUET)
    )


def reads(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of all objects that the test reads."""
    seen: list[str] = []
    get = Storage.get

    def noted(self: Storage, key: str) -> bytes:
        seen.append(key)
        return get(self, key)

    monkeypatch.setattr(Storage, "get", noted)
    return seen


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("seed", mostly_slow(range(4), (0, 3)))
def test_any_sequence_of_updates_yields_the_tables_of_a_single_update(
    commits: Commits, toy: ModuleType, tmp_path: Path, seed: int
) -> None:
    """Movies are added in random order and portions, replaced, left without clips, and removed."""
    rng = random.Random(seed)
    recipe = toy.toy_recipe()
    storage, at_once = (Storage(str(tmp_path / n), create=True) for n in ("steps", "at-once"))
    current: Commits = {}
    for _ in range(6):
        for name in rng.sample(sorted(commits), rng.randint(1, 4)):
            movie, rows = commits[name]
            rows = rows[: rng.randint(0, len(rows))]
            movie = dataclasses.replace(movie, num_clips=len(rows), attempts=rng.randint(1, 9))
            current[name] = (movie, rows)
            write_commit(storage, movie, rows)
        if len(current) > 3:
            gone = rng.choice(sorted(current))
            del current[gone]
            storage.delete(layout.commit_key(gone))
        rows_now = write_index(storage, recipe, "v")
        assert [row.movie_id for row in rows_now] == sorted(current)
    for movie, rows in current.values():
        write_commit(at_once, movie, rows)
    write_index(at_once, recipe, "v")
    assert tables(storage) == tables(at_once)
    assert open_dataset(storage).info["totals"] == open_dataset(at_once).info["totals"]
    assert read_committed_movies(storage) == {
        name: movie for name, (movie, _) in sorted(current.items())
    }
    assert read_indexed_movies(storage) == rows_now
    listing = json.loads(storage.get("index/parts.json"))
    named = {listing["movies"], *(part["key"] for part in listing["parts"])}
    assert {info.key for info in storage.list("index/parts")} == named


@pytest.mark.usefixtures("small_parts")
def test_an_update_reads_only_changed_movies(
    commits: Commits, toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(str(tmp_path / "d"), create=True)
    names = sorted(commits)
    for name in names[:-1]:
        write_commit(storage, *commits[name])
    write_index(storage, toy.toy_recipe(), "v")
    write_commit(storage, *commits[names[-1]])
    seen = reads(storage, monkeypatch)
    assert len(read_committed_movies(storage)) == len(names)
    assert [key for key in seen if key.startswith(layout.COMMITS)] == [layout.commit_key(names[-1])]
    seen.clear()
    write_index(storage, toy.toy_recipe(), "v")
    assert [key for key in seen if key.startswith(layout.COMMITS)] == [layout.commit_key(names[-1])]


@pytest.mark.parametrize("damage", ["gone", "garbage", "all parts", "a part"])
def test_lost_parts_are_rebuilt(
    commits: Commits, toy: ModuleType, tmp_path: Path, damage: str
) -> None:
    storage = Storage(str(tmp_path / "d"), create=True)
    for movie, rows in commits.values():
        write_commit(storage, movie, rows)
    write_index(storage, toy.toy_recipe(), "v")
    before = tables(storage)
    if damage == "gone":
        storage.delete("index/parts.json")
    elif damage == "garbage":
        storage.put("index/parts.json", b"{")
    else:
        keys = [info.key for info in storage.list("index/parts")]
        for key in keys if damage == "all parts" else [k for k in keys if "movies-" not in k][:1]:
            storage.delete(key)
    assert write_index(storage, toy.toy_recipe(), "v")
    assert tables(storage) == before


def test_movies_marked_for_removal_are_left_out(
    commits: Commits, toy: ModuleType, tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path / "d"), create=True)
    for movie, rows in commits.values():
        write_commit(storage, movie, rows)
    names = sorted(commits)
    rows_left = write_index(storage, toy.toy_recipe(), "v", without=names[:2])
    assert [row.movie_id for row in rows_left] == names[2:]
    assert set(open_dataset(storage).clips["movie_id"].to_pylist()) == set(names[2:])
