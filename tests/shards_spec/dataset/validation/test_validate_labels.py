"""The validator's checks of labels, near-duplicates and fingerprints: one for each wrong entry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.dataset.fingerprints.store import remove_movies, update_duplicates
from shards_spec.dataset.index import write_index
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.tables import write_ranges
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.schema.duplicates import DUPLICATES_SCHEMA
from shards_spec.storage import Storage

CLIP = 800_000_000
RANGES = "labels/mood.parquet"
BY_CLIP = "index/labels/mood.parquet"


@pytest.fixture(scope="module")
def written(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("written") / "d"
    dataset = make_toy_dataset(str(folder), num_movies=2, clips_per_movie=4, num_failed=1)
    ranges = [
        LabeledRange("movie-000", 0, 2 * CLIP, "sad", None),
        LabeledRange("movie-000", CLIP, 3 * CLIP, None, "a word"),
        LabeledRange("movie-001", 0, CLIP // 2, "sad", None),
    ]
    write_ranges(dataset.storage, "mood", ranges_table(ranges, dataset.movies, Findings()))
    write_index(dataset.storage, dataset.recipe, "toy")
    return folder


@pytest.fixture
def data(written: Path, tmp_path: Path) -> Dataset:
    """A copy that a test may spoil."""
    return open_dataset(str(shutil.copytree(written, tmp_path / "d")))


def problems(storage: Storage, check: str = "labels") -> str:
    report = validate(storage)
    assert [item.name for item in report.checks if item.state == "failed"] == [check]
    return " | ".join(f"{item.where}: {item.message}" for item in report.check(check).examples)


def change(data: Dataset, key: str, **columns: Any) -> None:
    """Replace values of the first row."""
    path = data.storage.local_path(key)
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0] |= columns
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def test_labels_of_a_sound_dataset(data: Dataset) -> None:
    assert validate(data.storage).ok
    write_index(data.storage, data.recipe, "toy", without=["broken-000"])
    data.storage.delete("commits/broken-000.parquet")
    assert validate(data.storage).ok


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"movie_id": "aaa"}, "has ranges of movie 'aaa', which is not in the index"),
        ({"end_ns": 100 * CLIP}, "ends after the movie, which has"),
        ({"end_ns": 0}, "ranges that end before they start"),
        ({"start_ns": -1}, "ranges that end before they start"),
        ({"label": None}, "has neither a label nor a text"),
        ({"label": None, "text": "a word"}, "repeats or touches an equal range"),
    ],
)
def test_wrong_ranges(data: Dataset, columns: dict[str, Any], expected: str) -> None:
    change(data, RANGES, **columns)
    assert expected in problems(data.storage)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"label": "happy"}, f"differs from the ranges in {RANGES}"),
        ({"clip_id": "movie-000_000003"}, f"differs from the ranges in {RANGES}"),
        ({"overlap": 0.0}, "an overlap that is not above 0"),
    ],
)
def test_wrong_labels_by_clip(data: Dataset, columns: dict[str, Any], expected: str) -> None:
    change(data, BY_CLIP, **columns)
    assert expected in problems(data.storage)


def test_tables_that_do_not_belong_together(data: Dataset) -> None:
    storage = data.storage
    whole = storage.get(BY_CLIP)
    storage.delete(BY_CLIP)
    assert f"{BY_CLIP}: does not exist; readers join the ranges" in problems(storage)
    table = pq.read_table(pa.BufferReader(whole))
    stale = table.replace_schema_metadata({"reelshards.clips_fingerprint": "0" * 16})
    storage.put(BY_CLIP, whole)
    pq.write_table(stale, storage.local_path(BY_CLIP))
    assert "is of another update of the index" in problems(storage)
    storage.put(BY_CLIP, whole)
    ranges = storage.get(RANGES)
    storage.delete(RANGES)
    assert "does not exist, but index/labels.json lists it" in problems(storage)
    storage.put(RANGES, ranges.replace(b"PAR1", b"PAR0"))
    assert "not readable Parquet" in problems(storage)
    storage.put(RANGES, ranges)
    listed = json.loads(storage.get("index/labels.json"))
    listed["tables"][0]["num_clips"] = 9
    storage.put("index/labels.json", json.dumps(listed).encode())
    assert "num_clips of mood is 9, but 4 in the table" in problems(storage)
    storage.put("index/labels.json", b'{"tables": []}')
    found = problems(storage)
    assert f"{RANGES}: is not listed in index/labels.json" in found
    assert f"{BY_CLIP}: has no table of ranges" in found
    storage.put("index/labels.json", b"[]")
    assert "is not a list of tables of labels" in problems(storage)


SPAN = {
    "kind": "scene",
    "set_number": 1,
    "movie_id": "movie-000",
    "start_ns": 0,
    "end_ns": CLIP,
    "other_movie_id": "movie-001",
    "other_start_ns": CLIP,
    "other_end_ns": 2 * CLIP,
    "video_match": 1.0,
    "audio_match": 0.5,
    "clips_digest": "x",
    "other_clips_digest": "y",
}


def put_span(data: Dataset, **columns: Any) -> None:
    table = pa.Table.from_pylist([SPAN | columns], DUPLICATES_SCHEMA)
    pq.write_table(table, data.storage.local_path(layout.DUPLICATES_PARQUET))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"kind": "twin"}, "'twin' is not one of copy, excerpt"),
        ({"kind": "blank"}, "a span of kind blank has the other movie 'movie-001'"),
        ({"set_number": 0}, "and set 0"),
        ({"other_movie_id": "movie-000"}, "is not before movie-000"),
        ({"other_movie_id": "removed"}, "has rows of movie 'removed', which is not in the index"),
        ({"end_ns": 0}, "is not a time range"),
        ({"other_end_ns": 99 * CLIP}, "ends after the end of the movie"),
        ({"video_match": 1.5}, "video_match is not a share"),
        ({"audio_match": float("nan")}, "audio_match is not a share"),
    ],
)
def test_wrong_spans(data: Dataset, columns: dict[str, Any], expected: str) -> None:
    put_span(data)
    assert validate(data.storage).ok
    put_span(data, **columns)
    assert expected in problems(data.storage, "duplicates")


def test_fingerprints(data: Dataset) -> None:
    update_duplicates(data)
    assert validate(data.storage).ok
    path = data.storage.local_path(layout.FINGERPRINTS_PARQUET)
    table = pq.read_table(path)
    assert table["movie_id"].to_pylist() == ["movie-000", "movie-001"]
    pq.write_table(pa.concat_tables([table, table]), path)
    assert "several fingerprints of a movie" in problems(data.storage, "duplicates")
    path.write_bytes(b"PAR1 nonsense PAR1")
    assert "run duplicates again" in problems(data.storage, "duplicates")
    data.storage.local_path(layout.DUPLICATES_PARQUET).write_bytes(b"nonsense")
    assert "run duplicates again" in problems(data.storage, "duplicates")


def test_what_is_stored_of_removed_movies_is_deleted(data: Dataset) -> None:
    update_duplicates(data)
    put_span(data)
    path = data.storage.local_path(layout.FINGERPRINTS_PARQUET)
    metadata = pq.read_schema(path).metadata
    remove_movies(data.storage, ["movie-001"])
    assert pq.read_table(path)["movie_id"].to_pylist() == ["movie-000"]
    assert pq.read_schema(path).metadata == metadata
    assert pq.read_table(data.storage.local_path(layout.DUPLICATES_PARQUET)).num_rows == 0
    path.write_bytes(b"nonsense")
    remove_movies(data.storage, ["movie-000"])
    assert not path.exists()
