"""Dropped clips: from commit records into the index and back, through updates, and validated."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.dataset.browser import Site
from shards_spec.dataset.dropped import dropped_bytes, read_dropped
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.errors import FormatError
from shards_spec.schema import MovieRow
from shards_spec.schema.dropped import DroppedClips, dropped_table
from shards_spec.storage import Storage
from tests.support.datasets.eventful import drops_of, write_eventful_dataset


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "d"
    write_eventful_dataset(str(folder))
    return folder


@pytest.fixture
def dataset(written: Path, tmp_path: Path) -> Dataset:
    """A copy that a test may spoil."""
    return open_dataset(str(shutil.copytree(written, tmp_path / "d")))


def listed(storage: Storage) -> list[tuple[str, int, str]]:
    table = open_dataset(storage).dropped()
    assert table is not None
    names = ("movie_id", "clip_number", "reason")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


HEAT = [("heat", number, "black") for number in (2, 3, 7)]
HEAT += [("heat", number, "too_short") for number in (9, 10, 11)]


def change(dataset: Dataset, movie_id: str, **columns: object) -> None:
    row, clips = read_commit(dataset.storage, movie_id)
    write_commit(dataset.storage, dataclasses.replace(row, **columns), clips)
    write_index(dataset.storage, dataset.recipe, "toy")


def problems(storage: Storage) -> list[str]:
    report = validate(storage)
    assert [check.name for check in report.checks if check.state == "failed"] == ["dropped"]
    return [problem.message for problem in report.check("dropped").examples]


def test_rows_and_commits(dataset: Dataset) -> None:
    assert sorted(listed(dataset.storage)) == HEAT
    row, _ = read_commit(dataset.storage, "heat")
    assert MovieRow.from_json(row.to_json()) == row
    assert row.drops is not None
    assert row.drops.counts == {"black": 3, "too_short": 3}
    assert validate(dataset.storage).ok


def test_updates_of_the_index(dataset: Dataset) -> None:
    storage, recipe = dataset.storage, dataset.recipe
    before = storage.get(layout.DROPPED_PARQUET)
    write_index(storage, recipe, "toy")
    assert storage.get(layout.DROPPED_PARQUET) == before
    # From the commit records alone.
    storage.delete("index/parts.json")
    storage.delete(layout.DROPPED_PARQUET)
    write_index(storage, recipe, "toy")
    assert storage.get(layout.DROPPED_PARQUET) == before
    # A movie that was skipped because all of its clips were dropped.
    drops = drops_of(recipe, {0: "silent"}, ())
    change(dataset, "dark", drops=drops, dropped_silent=1)
    assert sorted(listed(storage)) == [("dark", 0, "silent"), *HEAT]
    assert validate(storage).ok
    # And one that is removed.
    write_index(storage, recipe, "toy", without={"heat"})
    assert listed(storage) == [("dark", 0, "silent")]


def test_datasets_from_before_are_readable(dataset: Dataset) -> None:
    change(dataset, "heat", drops=None)
    text = json.loads(read_commit(dataset.storage, "heat")[0].to_json())
    assert "drops" not in text
    dataset.storage.delete(layout.DROPPED_PARQUET)
    opened = open_dataset(dataset.storage)
    assert opened.dropped() is None
    assert validate(dataset.storage).ok
    write_index(dataset.storage, dataset.recipe, "toy")
    assert listed(dataset.storage) == []
    assert validate(dataset.storage).ok


def test_a_table_of_another_update_is_ignored(dataset: Dataset) -> None:
    row, clips = read_commit(dataset.storage, "heat")
    stale = dataset.storage.get(layout.DROPPED_PARQUET)
    fewer = dataclasses.replace(row, num_clips=row.num_clips - 1)
    write_commit(dataset.storage, fewer, clips[:-1])
    write_index(dataset.storage, dataset.recipe, "toy")
    dataset.storage.put(layout.DROPPED_PARQUET, stale)
    assert open_dataset(dataset.storage).dropped() is None


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ({2: "silent", 3: "black", 7: "black"}, "dropped_black is 3, but 2 such clips are listed"),
        ({2: "black", 3: "black", 8: "black"}, "clip number 8 was both kept and dropped"),
        ({2: "black", 3: "black", 77: "black"}, "ends after the end of the movie"),
    ],
)
def test_validate_compares_with_counts_and_clips(
    dataset: Dataset, reasons: dict[int, str], expected: str
) -> None:
    change(dataset, "heat", drops=drops_of(dataset.recipe, reasons, {9, 10, 11}))
    assert expected in " ".join(problems(dataset.storage))


@pytest.mark.parametrize("shift", [1, -50_000_000])
def test_validate_finds_times_off_the_grid(dataset: Dataset, shift: int) -> None:
    drops = read_commit(dataset.storage, "heat")[0].drops
    assert drops is not None
    ends = (drops.end_ns[0] + shift, *drops.end_ns[1:])
    change(dataset, "heat", drops=dataclasses.replace(drops, end_ns=ends))
    assert "is off the grid" in " ".join(problems(dataset.storage))


def test_validate_compares_the_table_with_the_commits(dataset: Dataset) -> None:
    storage = dataset.storage
    path = storage.local_path(layout.DROPPED_PARQUET)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert problems(storage) == ["differs from the commit record of movie heat"]
    pq.write_table(dropped_table({"nobody": drops_of(dataset.recipe, {1: "black"}, ())}), path)
    assert "has clips of movie 'nobody', which is not in the index" in problems(storage)
    path.write_bytes(b"PAR1 nonsense PAR1")
    assert "not readable Parquet" in " ".join(problems(storage))
    path.unlink()
    assert problems(storage) == ["differs from the commit record of movie heat"]


@pytest.mark.parametrize(
    "drops",
    [
        5,
        {"clip_number": [1], "start_ns": [0], "end_ns": [1]},
        {"clip_number": [1, 2], "start_ns": [0], "end_ns": [1], "reason": ["black"]},
        {"clip_number": [True], "start_ns": [0], "end_ns": [1], "reason": ["black"]},
        {"clip_number": [1 << 31], "start_ns": [0], "end_ns": [1], "reason": ["black"]},
        {"clip_number": [1], "start_ns": [1 << 63], "end_ns": [1], "reason": ["black"]},
        {"clip_number": [1], "start_ns": [0], "end_ns": [1], "reason": [None]},
    ],
)
def test_a_commit_record_with_an_impossible_list(dataset: Dataset, drops: object) -> None:
    storage = dataset.storage
    path = storage.local_path(layout.commit_key("heat"))
    table = pq.read_table(path)
    values = json.loads(table.schema.metadata[b"reelshards.movie"]) | {"drops": drops}
    pq.write_table(
        table.replace_schema_metadata({b"reelshards.movie": json.dumps(values).encode()}), path
    )
    with pytest.raises(FormatError, match="commit record of movie heat is unreadable"):
        read_commit(storage, "heat")


@pytest.mark.slow
def test_many_equal_movies_are_not_taken_for_a_bomb(dataset: Dataset) -> None:
    """A table of regular grids hardly compresses to less than readers accept."""
    drops = drops_of(dataset.recipe, dict.fromkeys(range(5_000), "silent"), ())
    row, _ = read_commit(dataset.storage, "dark")
    named = [dataclasses.replace(row, movie_id=f"m{at}", drops=drops) for at in range(40)]
    dataset.storage.put(layout.DROPPED_PARQUET, dropped_bytes(named, "x"))
    table = read_dropped(dataset.storage, "x")
    assert isinstance(table, pa.Table)
    assert table.num_rows == 200_000
    assert DroppedClips() == DroppedClips.from_json(DroppedClips().to_json())


@pytest.mark.slow
def test_a_dataset_in_a_bucket_has_the_same_list(dataset: Dataset, s3_bucket: str) -> None:
    remote = write_eventful_dataset(f"{s3_bucket}/data")
    assert sorted(listed(remote.storage)) == HEAT
    assert remote.storage.get(layout.DROPPED_PARQUET) == dataset.storage.get(layout.DROPPED_PARQUET)
    assert validate(remote.storage).ok
    remote.storage.put(layout.DROPPED_PARQUET, b"PAR1 nonsense PAR1")
    assert "not readable Parquet" in " ".join(problems(remote.storage))
    page = Site(open_dataset(remote.storage)).file("movie/heat/1.html").data.decode()
    assert "2 clips dropped: black" in page
