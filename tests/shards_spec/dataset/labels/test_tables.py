"""Tables of labels in a dataset, while its index is rebuilt, damaged, or interrupted."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.labels.columns import label_column_names, with_label_columns
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.tables import (
    list_tables,
    read_clip_labels,
    rejoin_tables,
    remove_movies,
    remove_table,
    write_ranges,
)
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import FormatError, InputError, StorageError
from shards_spec.storage import Storage

#: Clips of the toy movies have 0.8 s.
CLIP = 800_000_000

RANGES = [
    LabeledRange("movie-000", 0, 2 * CLIP, "sad", None),
    LabeledRange("movie-000", CLIP, 2 * CLIP, "dark", None),
    LabeledRange("movie-001", 2 * CLIP, 2 * CLIP + CLIP // 4, "sad", "a word"),
    LabeledRange("movie-001", 2 * CLIP + CLIP // 2, 3 * CLIP, None, "and another"),
]


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    made = make_toy_dataset(str(tmp_path / "data"), num_movies=3, num_failed=1)
    label(made)
    return open_dataset(made.storage.uri)


def label(dataset: Dataset, name: str = "mood") -> None:
    write_ranges(dataset.storage, name, ranges_table(RANGES, dataset.movies, Findings()))
    path = dataset.storage.local_path(layout.CLIPS_PARQUET)
    rejoin_tables(dataset.storage, path, dataset.clips_fingerprint)


def rows(dataset: Dataset, name: str = "mood") -> set[tuple[Any, ...]]:
    table, _ = read_clip_labels(dataset.storage, name, dataset.clips, dataset.clips_fingerprint)
    names = ("clip_id", "label", "text", "overlap")
    return {tuple(row[name] for name in names) for row in table.to_pylist()}


EXPECTED = {
    ("movie-000_000000", "sad", None, 1.0),
    ("movie-000_000001", "sad", None, 1.0),
    ("movie-000_000001", "dark", None, 1.0),
    ("movie-001_000002", "sad", "a word", 0.25),
    ("movie-001_000002", None, "and another", 0.5),
}


def test_labels_are_listed_and_read_by_clip(dataset: Dataset) -> None:
    (info,) = list_tables(dataset.storage)
    assert (info.name, info.num_ranges, info.num_movies, info.num_clips) == ("mood", 4, 2, 3)
    assert (info.has_labels, info.has_text) == (True, True)
    assert label_column_names(dataset.storage) == ["labels.mood", "text.mood", "overlap.mood"]
    assert rows(dataset) == EXPECTED
    # Any Parquet reader can join them.
    path = dataset.storage.local_path("index/labels/mood.parquet")
    joined = pq.read_table(path).join(dataset.clips, "clip_id")
    assert joined.num_rows == 5


def test_columns_for_filters(dataset: Dataset) -> None:
    names = ["labels.mood", "text.mood", "overlap.mood", "motion"]
    found = with_label_columns(dataset.storage, dataset.clips, dataset.clips_fingerprint, names)
    by_id = {row["clip_id"]: row for row in found.clips.to_pylist()}
    first, second, third = (
        by_id[name] for name in ("movie-000_000000", "movie-000_000001", "movie-001_000002")
    )
    assert (first["labels.mood"], first["text.mood"], first["overlap.mood"]) == ("sad", "", 1.0)
    # Both cover all of it: the first in the alphabet.
    assert (second["labels.mood"], second["labels.mood[]"]) == ("dark", ["dark", "sad"])
    # Less than half of the clip.
    assert (third["labels.mood"], third["labels.mood[]"]) == (None, ["sad"])
    assert (third["text.mood"], third["overlap.mood"]) == ("a word and another", 0.5)
    assert by_id["movie-002_000000"]["labels.mood[]"] == []
    assert found.clips.num_rows == dataset.clips.num_rows
    assert found.fingerprint


def test_an_index_of_another_recipe_or_more_movies_gets_its_labels(
    dataset: Dataset, make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    """Clips that begin elsewhere take the labels of their time."""
    storage = dataset.storage
    row, clips = read_commit(storage, "movie-000")
    shifted = [
        dataclasses.replace(clip, start_ns=clip.start_ns + CLIP, end_ns=clip.end_ns + CLIP)
        for clip in clips
        if clip.clip_number < 7
    ]
    write_commit(storage, dataclasses.replace(row, num_clips=7), shifted)
    write_index(storage, dataset.recipe, "toy")
    table, _ = read_clip_labels(storage, "mood", *_clips(storage))
    of_movie = [item for item in table.to_pylist() if item["movie_id"] == "movie-000"]
    assert {(item["clip_id"], item["label"]) for item in of_movie} == {
        ("movie-000_000000", "sad"),
        ("movie-000_000000", "dark"),
    }


def _clips(storage: Storage) -> tuple[Any, str]:
    path = storage.local_path(layout.CLIPS_PARQUET)
    return pq.read_table(path), __import__("hashlib").sha256(path.read_bytes()).hexdigest()[:16]


def test_a_reader_between_two_updates_joins_by_itself(dataset: Dataset) -> None:
    other = dataclasses.replace(dataset, clips_fingerprint="0" * 16)
    assert rows(other) == EXPECTED
    dataset.storage.delete("index/labels/mood.parquet")
    assert rows(dataset) == EXPECTED


def test_labels_of_removed_movies_are_deleted(dataset: Dataset) -> None:
    assert remove_movies(dataset.storage, {"movie-001"}) == 2
    write_index(dataset.storage, dataset.recipe, "toy", without={"movie-001"})
    assert rows(open_dataset(dataset.storage)) == {
        row for row in EXPECTED if row[0].startswith("movie-000")
    }
    data = dataset.storage.get("labels/mood.parquet")
    assert b"movie-001" not in data
    assert b"a word" not in data


def test_removing_a_table_removes_all_of_it(dataset: Dataset) -> None:
    label(dataset, "other")
    remove_table(dataset.storage, "mood")
    write_index(dataset.storage, dataset.recipe, "toy")
    assert [info.name for info in list_tables(dataset.storage)] == ["other"]
    with pytest.raises(InputError, match="no labels 'mood'; it has: other"):
        rows(dataset)
    with pytest.raises(InputError, match="no labels 'mood'"):
        remove_table(dataset.storage, "mood")


@pytest.mark.parametrize("name", ["Mood", "class", "a b", "", "../x", "0a", "x" * 65])
def test_names_that_filters_cannot_use_are_refused(dataset: Dataset, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of labels"):
        write_ranges(dataset.storage, name, ranges_table(RANGES, dataset.movies, Findings()))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet" * 99, "clips"])
def test_damaged_labels_do_not_prevent_an_update_and_say_what_to_do(
    dataset: Dataset, data: bytes | str
) -> None:
    path = dataset.storage.local_path("labels/mood.parquet")
    if isinstance(data, str):
        shutil.copy(dataset.storage.local_path(layout.CLIPS_PARQUET), path)
    else:
        path.write_bytes(data)
    write_commit(dataset.storage, *read_commit(dataset.storage, "movie-002"))
    write_index(dataset.storage, dataset.recipe, "toy")
    assert open_dataset(dataset.storage).clips.num_rows == 24
    with pytest.raises(FormatError, match=r"labels/mood.parquet"):
        rows(dataclasses.replace(dataset, clips_fingerprint="0" * 16))


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"tables": 3}',
        b'{"tables": [{"name": "../../x"}]}',
        b'{"tables": [{"name": "a b", "num_ranges": 1, "num_movies": 1, "num_clips": 1, '
        b'"has_labels": true, "has_text": true}]}',
    ],
)
def test_a_damaged_list_of_tables_is_refused(dataset: Dataset, data: bytes) -> None:
    dataset.storage.put("index/labels.json", data)
    with pytest.raises(FormatError, match=r"labels.json is not a list of tables"):
        list_tables(dataset.storage)
    write_index(dataset.storage, dataset.recipe, "toy")
    assert [info.name for info in list_tables(dataset.storage)] == ["mood"]


def test_links_that_lead_out_of_a_dataset_are_not_followed(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = dataset.storage.local_path("index/labels/mood.parquet")
    path.rename(tmp_path / "outside.parquet")
    path.symlink_to(tmp_path / "outside.parquet")
    with pytest.raises((FormatError, StorageError, InputError), match="mood"):
        rows(dataset)
    ranges = dataset.storage.local_path("labels/mood.parquet")
    ranges.rename(tmp_path / "ranges.parquet")
    ranges.symlink_to(tmp_path / "ranges.parquet")
    path.unlink()
    write_index(dataset.storage, dataset.recipe, "toy")
    assert not path.exists()
