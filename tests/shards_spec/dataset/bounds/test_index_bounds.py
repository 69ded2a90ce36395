"""Untrusted datasets: impossible values in the index are rejected when it is opened."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.dataset.bounds.clip_bounds import check_clip_bounds, check_recipe_bounds
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe
from tests.support.datasets.spoiled import spoil_index
from tests.support.hostile.outside import OpenedFiles

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
    ("movie_id", "x" * 1_000_000, "... (1,000,002 characters), expected 1 to 64"),
    ("clip_id", "movie-001_000099", "expected the id of its movie, _ and its clip_number"),
    ("clip_number", -1, "clip_number is -1, expected 0 to"),
    ("clip_number", 2**31 - 1, "expected the id of its movie, _ and its clip_number"),
    ("fps", 1e308, "fps is 1e+308, expected 0.001 to"),
    ("sample_rate_hz", 0, "sample_rate_hz is 0, expected 1 to"),
    ("num_audio_samples", 2**40, "num_audio_samples is 1099511627776, expected 0 to"),
    ("motion", 1e38, "motion is "),
    ("luma_mean", -1e38, "luma_mean is "),
    ("audio_peak_dbfs", 1e30, "audio_peak_dbfs is "),
    ("first_frame_pts_ns", 2**62, "first_frame_pts_ns is 4611686018427387904"),
    ("shot_id", -5, "shot_id is -5"),
    ("av_skew_ns", -(2**63), "av_skew_ns is -9223372036854775808"),
    ("filled_audio_ns", 2**61, "filled_audio_ns is 2305843009213693952"),
]

#: The same of the table of movies.
HOSTILE_MOVIES = [
    ("num_clips", -1, "num_clips is -1, expected 0 to"),
    ("num_clips", 9, "has 8 clips, but num_clips is 9"),
    ("num_shards", -2, "num_shards is -2"),
    ("shard_bytes", 2**60, "shard_bytes is 1152921504606846976"),
    ("source_bytes", -(2**62), "source_bytes is -4611686018427387904"),
    ("first_shard", -1, "first_shard is -1"),
    ("duration_ns", 2**62, "duration_ns is 4611686018427387904"),
    ("audio_track", -2, "audio_track is -2"),
    ("audio_drift_ppm", math.nan, "audio_drift_ppm is nan, expected a finite number"),
    ("wall_seconds", math.inf, "wall_seconds is inf, expected a finite number"),
    ("status", "x" * 5_000, "(5,002 characters), expected one of done"),
    ("movie_id", "movie-000", "a movie_id occurs more than once"),
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
    assert re.search(r"clips\.parquet: row 1[12] \(clip 'movie-", text)


@pytest.mark.parametrize(("column", "value", "message"), HOSTILE_MOVIES)
def test_impossible_values_of_movies_are_rejected(
    dataset: Dataset, column: str, value: float | str, message: str
) -> None:
    path = dataset.storage.local_path(layout.MOVIES_PARQUET)
    movies = pq.read_table(path)
    values = movies[column].to_pylist()
    values[1] = value
    number = movies.schema.get_field_index(column)
    field = movies.schema.field(column)
    pq.write_table(movies.set_column(number, field, pa.array(values, field.type)), path)
    with pytest.raises(FormatError, match=re.escape(message)):
        open_dataset(dataset.storage.uri)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 2, 1]])
def test_clips_out_of_order_are_rejected(dataset: Dataset, order: list[int]) -> None:
    parts = [dataset.clips.slice(8 * number, 8) for number in order]
    with pytest.raises(FormatError, match=r"rows sorted by movie and shard|the end of the"):
        check_clip_bounds(
            pa.concat_tables([*parts, dataset.clips.slice(0, 8)]), dataset.recipe, "clips"
        )


def _linked(path: Path, target: Path) -> None:
    """Move what is at `path` to `target`, and leave a link."""
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize(
    "key",
    [
        *(layout.DATASET_JSON, layout.CLIPS_PARQUET, layout.MOVIES_PARQUET, "index", "shards"),
        *("shards/movie-001", "shards/movie-001/movie-001-00000.tar"),
    ],
)
def test_links_out_of_a_dataset_are_not_followed(
    make_toy_dataset: Callable[..., Dataset], tmp_path: Path, key: str
) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    data = make_toy_dataset(str(root), num_movies=2, clips_per_movie=4)
    _linked(root / key, outside)
    with OpenedFiles(tmp_path) as opened:
        with pytest.raises(FormatError, match=r"is a link out of the dataset, to .*/outside"):
            open_dataset(data.storage.uri)
        report = validate(data.storage.uri)
        assert not [name for name in opened.names() if "outside" in name]
    assert "is a link out of the dataset" in report.check("structure").examples[0].message
    # Within the dataset, and to the dataset as a whole, links may lead.
    (root / key).unlink()
    outside.rename(root / "inside")
    (root / key).symlink_to(root / "inside")
    (tmp_path / "link").symlink_to(root)
    assert open_dataset(str(tmp_path / "link")).clips.num_rows == 8


def test_commits_and_strays_that_lead_out_of_a_dataset_are_problems(
    dataset: Dataset, tmp_path: Path
) -> None:
    root = dataset.storage.local_path()
    (root / "shards" / "more").symlink_to("/")
    (root / "commits" / "x.parquet").symlink_to("/etc/passwd")
    check = validate(dataset.storage.uri).check("structure")
    assert [problem.where for problem in check.examples] == ["commits/x.parquet", "shards/more"]


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1025)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_pipe, "is not a regular file"),
        (_folder, "is not a regular file"),
        (_cut, r"has [0-9,]+ bytes, but clips up to byte [0-9,]+"),
    ],
)
def test_shards_that_cannot_hold_their_clips_are_rejected(
    dataset: Dataset, damage: Callable[[Path], None], message: str
) -> None:
    damage(dataset.storage.local_path(layout.shard_key("movie-002", 0)))
    with pytest.raises(FormatError, match=f"movie-002-00000.tar, which {message}"):
        open_dataset(dataset.storage.uri)


@pytest.mark.parametrize("is_footer_valid", [False, True])
def test_endless_tables_are_not_read(dataset: Dataset, is_footer_valid: bool) -> None:
    """A sparse file of a tebibyte takes no space on the disk."""
    path = dataset.storage.local_path(layout.CLIPS_PARQUET)
    data = path.read_bytes()
    with path.open("wb") as file:
        file.truncate(2**40)
        if is_footer_valid:
            file.seek(2**40 - len(data))
            file.write(data)
    message = "its footer describes" if is_footer_valid else "it has no valid footer"
    with pytest.raises(FormatError, match=message):
        open_dataset(dataset.storage.uri)
    assert message in str(validate(dataset.storage.uri).check("schema").examples)


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
    numbers = pa.array(np.arange(clips.num_rows, dtype=np.int32))
    padded = pc.utf8_lpad(numbers.cast(pa.string()), 6, "0")
    ids = pc.binary_join_element_wise(clips["movie_id"], padded, "_")
    for column, values in (("clip_number", numbers), ("clip_id", ids)):
        number = clips.schema.get_field_index(column)
        clips = clips.set_column(number, clips.schema.field(number), values)
    begin = time.monotonic()
    check_clip_bounds(clips, dataset.recipe, "clips")
    assert time.monotonic() - begin < 20
