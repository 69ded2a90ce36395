"""Similar clips, from what `embed` and `embed_clips` write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec.dataset.browser import Site
from shards_spec.dataset.browser.similar import read_embeddings
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, InputError


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def vectors(angles: list[float]) -> pa.Array:
    rows = [[np.cos(angle), np.sin(angle)] for angle in angles]
    return pa.array(rows, pa.list_(pa.float32(), 2))


def test_the_nearest_clips_are_found_by_id(eventful: Dataset, tmp_path: Path) -> None:
    ids = ["heat_000000", "heat_000004", "copy_000001", "elsewhere_000000"]
    path = write(
        tmp_path / "e.parquet",
        clip_id=ids,
        video=vectors([0.0, 1.0, 0.1, 0.0]),
        audio=vectors([1.0, 0.2, 0.9, 0.0]),
    )
    found = dict(read_embeddings(path, eventful).similar("heat_000000"))
    assert [match.clip_id for match in found["Similar video"]] == ["copy_000001", "heat_000004"]
    assert [match.clip_id for match in found["Similar audio"]] == ["copy_000001", "heat_000004"]
    assert found["Audio that fits this video"][0].clip_id == "heat_000004"
    assert found["Similar video"][0].similarity == pytest.approx(np.cos(0.1), abs=2e-3)
    assert read_embeddings(path, eventful).similar("heat_000001") == []
    page = Site(eventful, embeddings=read_embeddings(path, eventful)).file(
        "clip/heat_000000/index.html"
    )
    assert b"Similar video" in page.data
    assert b"clip/copy_000001/thumb.jpg" in page.data


def test_clips_are_found_by_movie_and_time(eventful: Dataset, tmp_path: Path) -> None:
    path = write(
        tmp_path / "e.parquet",
        movie=["toy:copy", "toy:copy", "toy:nobody"],
        start_ns=[0, 1_600_000_000, 0],
        end_ns=[1, 2, 3],
        video=vectors([0.0, 1.0, 2.0]),
        audio=vectors([0.0, 1.0, 2.0]),
    )
    assert read_embeddings(path, eventful).clip_ids == ["copy_000000", "copy_000002"]


def test_other_files_are_refused(eventful: Dataset, tmp_path: Path) -> None:
    good = {"clip_id": ["heat_000000"], "video": vectors([0.0]), "audio": vectors([0.0])}
    cases = {
        "no columns": ({"clip_id": ["a"]}, FormatError, "embeddings have video"),
        "no clips": ({**good, "clip_id": ["other_000000"]}, InputError, "no vectors of clips"),
        "texts": ({**good, "video": ["x"]}, FormatError, "not a column of vectors"),
        "ragged": (
            {**good, "clip_id": ["heat_000000", "heat_000001"], "audio": vectors([0.0, 1.0]),
             "video": pa.array([[1.0, 2.0], [1.0]])},
            FormatError, "different lengths",
        ),
    }  # fmt: skip
    for name, (columns, kind, message) in cases.items():
        with pytest.raises(kind, match=message):
            read_embeddings(write(tmp_path / f"{name}.parquet", **columns), eventful)
    (tmp_path / "text").write_text("no parquet")
    for name in ("text", "missing"):
        with pytest.raises(InputError, match="cannot read embeddings"):
            read_embeddings(tmp_path / name, eventful)
