"""Programs of other people read a dataset as it is; `pip install 'reelshards[interop]'`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from shards_spec.dataset.labels.tables import read_ranges
from shards_spec.dataset.reader import Dataset
from shards_spec.dataset.validation import validate
from tests.support.datasets.described import describe

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

#: Rows of `load_dataset`, whole and streamed, as JSON; nothing is fetched from anywhere.
LOAD = """
import json, sys
from datasets import load_dataset
whole = load_dataset(sys.argv[1], split="train")
streamed = load_dataset(sys.argv[1], split="train", streaming=True)
def row(sample):
    return {
        "key": sample["__key__"],
        "start_ns": sample["json"]["start_ns"],
        "size": sample["frames.jpg"].size,
        "logmel": [list(map(float, band)) for band in sample["logmel.npy"]][:1],
        "members": sorted(name for name in sample if not name.startswith("__")),
    }
print(json.dumps([list(map(row, whole)), list(map(row, streamed))]))
"""


@pytest.fixture(scope="module")
def data(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """Three movies in several shards; fewer tars than Parquet files, as in any small dataset."""
    folder = tmp_path_factory.mktemp("interop") / "data set"
    made = make_toy_dataset(str(folder), clips_per_movie=5, num_failed=1, shard_bytes=20_000)
    return describe(made)


def folder_of(data: Dataset) -> Path:
    return data.storage.local_path()


def loaded(
    folder: Path, cache: Path, *more: str, script: str = LOAD
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-c", script, str(folder), *more]
    return subprocess.run(words, capture_output=True, text=True, env=environment)


def test_load_dataset(data: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    run = loaded(folder_of(data), tmp_path)
    assert run.returncode == 0, run.stderr[-2000:]
    expected = {row["clip_id"]: row for row in data.clips.to_pylist()}
    for rows in json.loads(run.stdout):
        assert sorted(row["key"] for row in rows) == sorted(expected)
        for row in rows:
            clip = data.clip(row["key"])
            assert row["start_ns"] == expected[row["key"]]["start_ns"]
            num_frames, height, width, _ = clip.frames.shape
            assert row["size"] == [width, num_frames * height]
            assert row["logmel"] == clip.logmel[:1].tolist()
            assert row["members"] == ["frames.jpg", "json", "logmel.npy"]


def test_load_dataset_passes_stored_audio_on_as_bytes(
    make_toy_dataset: Callable[..., Dataset],
    toy: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip("datasets")
    audio = b"fLaC and more, whatever it is"
    members = toy.toy_members
    monkeypatch.setattr(toy, "toy_members", lambda *a: {"audio.flac": audio, **members(*a)})
    other = make_toy_dataset(str(tmp_path / "d"), num_movies=1, store_audio=True)
    script = LOAD.replace(
        "def row", "assert whole[0]['audio.flac'] == sys.argv[2].encode()\ndef row"
    )
    run = loaded(folder_of(other), tmp_path / "cache", audio.decode(), script=script)
    assert run.returncode == 0, run.stderr[-2000:]
    whole, streamed = json.loads(run.stdout)
    assert len(whole) == len(streamed) == other.clips.num_rows
    assert "audio.flac" in whole[0]["members"]


def test_without_the_card_load_dataset_does_not_find_the_clips(
    make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    pytest.importorskip("datasets")
    other = make_toy_dataset(str(tmp_path / "d"), num_movies=1)
    other.storage.delete("README.md")
    assert loaded(folder_of(other), tmp_path / "cache").returncode != 0


def test_duckdb(data: Dataset) -> None:
    duckdb = pytest.importorskip("duckdb")
    clips, movies = (folder_of(data) / f"index/{name}.parquet" for name in ("clips", "movies"))
    rows = duckdb.sql(
        f"SELECT movie_id, count(*), min(start_ns), any_value(num_clips) FROM '{clips}' "
        f"JOIN '{movies}' USING (movie_id) GROUP BY movie_id ORDER BY movie_id"
    ).fetchall()
    assert rows == [(movie.movie_id, 5, 0, 5) for movie in data]


def test_polars(data: Dataset) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(folder_of(data) / "index/clips.parquet")
    assert frame.to_dicts() == data.clips.to_pylist()
    assert polars.from_arrow(data.movies)["movie_id"].to_list() == [
        row["movie_id"] for row in data.movies.to_pylist()
    ]


def test_mlcroissant(data: Dataset) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    metadata = mlcroissant.Dataset(str(folder_of(data) / "croissant.json"))
    assert not metadata.metadata.ctx.issues.errors
    tables = {
        "clips": data.clips,
        "movies": data.movies,
        "dropped": data.dropped(),
        "duplicates": data.duplicates,
        "clip_labels_mood": data.labels("mood"),
        "label_ranges_mood": read_ranges(data.storage, "mood"),
    }
    assert {item.id for item in metadata.metadata.record_sets} == set(tables)
    for name, table in tables.items():
        assert table is not None
        rows = [plain(name, record) for record in metadata.records(name)]
        assert rows == table.to_pylist(), name


def plain(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """A record of mlcroissant with our names of columns, and text instead of its bytes."""
    return {
        key.removeprefix(f"{name}/"): value.decode() if isinstance(value, bytes) else value
        for key, value in record.items()
    }


def test_webdataset_reads_what_load_dataset_reads(data: Dataset) -> None:
    import webdataset

    shards = [str(path) for path in sorted(folder_of(data).glob("shards/*/*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert sorted(sample["__key__"] for sample in samples) == sorted(
        data.clips["clip_id"].to_pylist()
    )
    for sample in samples:
        logmel = np.load(io.BytesIO(sample["logmel.npy"]))
        assert (logmel == data.clip(sample["__key__"]).logmel).all()


def test_reading_leaves_nothing_in_the_dataset(data: Dataset) -> None:
    assert validate(data.storage).ok
    names = {path.name for path in folder_of(data).iterdir()}
    files = ("README.md", "commits", "croissant.json", "dataset.json", "index", "labels", "shards")
    assert names == set(files)
