"""Untrusted datasets: impossible values in the index are rejected when it is opened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.bounds import check_clip_bounds, check_recipe_bounds
from shards_spec.errors import FormatError
from shards_spec.reader import Dataset, open_dataset
from shards_spec.recipe import Recipe
from tests.support.datasets.spoiled import spoil_index

#: Column, value, and the message's text about the value.
HOSTILE = [
    ("tar_bytes", 2**62, "tar_bytes is 4611686018427387904"),
    ("tar_bytes", 2**40, "tar_bytes is 1099511627776"),
    ("tar_bytes", 0, "positive multiple of 512"),
    ("tar_bytes", 1023, "positive multiple of 512"),
    ("tar_offset", -1_000_000, "tar_offset is -1000000"),
    ("tar_offset", 2**62, "a multiple of 512 from 0"),
    ("height", 2**31 - 1, "height is 2147483647"),
    ("width", -16, "width is -16"),
    ("start_ns", -1, "start_ns is -1"),
    ("end_ns", 0, "after start_ns"),
    ("end_ns", 2**62, "within 30 days"),
    ("shard", "shards/../../../etc/passwd", "expected such as shards/movie-001/movie-001-00000"),
    ("shard", "shards/movie-000/movie-000-00000.tar", "expected such as shards/movie-001"),
    ("shard", "/etc/passwd", "expected such as"),
    ("shard", "shards/movie-001/movie-001-\u0661.tar", "expected such as"),
    ("movie_id", "../movie", "movie_id is '../movie'"),
]

#: Columns of measured values.
NOT_FINITE = [("motion", math.nan), ("luma_mean", math.inf), ("audio_rms_dbfs", -math.inf)]


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    return make_toy_dataset(str(tmp_path), num_movies=3, clips_per_movie=8)


@pytest.mark.parametrize(("column", "value", "message"), HOSTILE)
def test_impossible_values_are_rejected(
    dataset: Dataset, column: str, value: float | str, message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        open_dataset(spoil_index(dataset, column, value))
    text = str(caught.value)
    assert message in text
    assert "clips.parquet: row 11 (clip 'movie-001_" in text


@pytest.mark.parametrize(("column", "value"), NOT_FINITE)
def test_non_finite_numbers_are_rejected(dataset: Dataset, column: str, value: float) -> None:
    with pytest.raises(FormatError, match=rf"row 11 .*{column} is .*a finite number"):
        open_dataset(spoil_index(dataset, column, value))


def test_nulls_are_rejected(dataset: Dataset) -> None:
    clips = dataset.clips
    field = pa.field("start_ns", pa.int64())
    values = pa.array([None, *clips["start_ns"].to_pylist()[1:]], pa.int64())
    clips = clips.set_column(clips.schema.get_field_index("start_ns"), field, values)
    with pytest.raises(FormatError, match="column start_ns has 1 nulls"):
        check_clip_bounds(clips, dataset.recipe, "clips")


def test_a_valid_index_passes(dataset: Dataset) -> None:
    check_clip_bounds(dataset.clips, dataset.recipe, "clips")
    check_clip_bounds(dataset.clips.slice(0, 0), dataset.recipe, "clips")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_frames": 1, "short_side": 65_488},
        {"n_mels": 60_000, "hop_ms": 0.1},
        {"sample_rate_hz": 10**6, "fps": 0.01},
    ],
)
def test_recipes_of_enormous_clips_are_rejected(changes: dict[str, int]) -> None:
    with pytest.raises(FormatError, match=r"dataset\.json: a decoded clip .* more than the limit"):
        check_recipe_bounds(Recipe(**changes), "dataset.json")  # type: ignore[arg-type]
    check_recipe_bounds(Recipe(), "dataset.json")


def test_a_million_clips_are_checked_in_seconds(dataset: Dataset) -> None:
    """Checks how the time grows, not the exact figure."""
    rows = np.repeat(np.arange(dataset.clips.num_rows), 40_000)
    clips = dataset.clips.take(pa.array(rows))
    # Each clip starts where the previous one in its shard ends.
    shards = np.asarray(clips["shard"].combine_chunks().dictionary_encode().indices)
    first = np.searchsorted(shards, shards)
    ends = np.cumsum(clips["tar_bytes"].to_numpy())
    starts = ends - clips["tar_bytes"].to_numpy()
    number = clips.schema.get_field_index("tar_offset")
    field = clips.schema.field(number)
    clips = clips.set_column(number, field, pa.array(starts - starts[first], field.type))
    begin = time.monotonic()
    check_clip_bounds(clips, dataset.recipe, "clips")
    assert time.monotonic() - begin < 20
