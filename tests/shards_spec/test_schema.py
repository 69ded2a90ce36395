"""Rows and tables are two forms of the same thing."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.dataset.bounds.movie_bounds import check_movie_bounds
from shards_spec.errors import FormatError
from shards_spec.schema import MovieRow
from shards_spec.schema.columns import LOCATION_COLUMNS
from shards_spec.schema.tables import (
    ADDED_COLUMNS,
    CLIPS_SCHEMA,
    clip_rows,
    clips_table,
    movie_rows,
    movies_table,
    require_columns,
)

MOVIE = MovieRow(
    movie_id="b", group="b", source_uri="file:///ü", source_bytes=1, source_fingerprint="s",
    recipe_fingerprint="r", status="done", is_vfr=True, decode_seconds=0.1,
)  # fmt: skip


@pytest.fixture
def clip(toy):
    row = toy.toy_row(toy.toy_recipe(), "b", "b", 3, 32, 48)
    return dataclasses.replace(row, luma_mean=float(np.float32(100.1)), crc32c=2**32 - 1)


def test_clips_round_trip_sorted(clip):
    other = dataclasses.replace(clip, movie_id="a")
    later = dataclasses.replace(clip, tar_offset=512)
    assert clip_rows(clips_table([later, clip, other])) == [other, clip, later]


def test_movies_round_trip_sorted():
    other = dataclasses.replace(MOVIE, movie_id="a", status="failed", error="ü")
    assert movie_rows(movies_table([MOVIE, other])) == [other, MOVIE]
    assert MovieRow.from_json(other.to_json()) == other


def test_measured_errors_are_null_unless_the_movie_was_decoded_in_fast_mode():
    fast = dataclasses.replace(MOVIE, movie_id="a", fast_ssim=0.5, fast_time_error_ms=0.0)
    table = movies_table([MOVIE, fast])
    assert table["fast_ssim"].to_pylist() == [0.5, None]
    assert movie_rows(table) == [fast, MOVIE]
    assert MovieRow.from_json(fast.to_json()) == fast
    check_movie_bounds(table, "movies")
    endless = movies_table([dataclasses.replace(fast, fast_ssim=float("inf"))])
    with pytest.raises(FormatError, match="fast_ssim is inf, expected a finite number"):
        check_movie_bounds(endless, "movies")


def test_columns_and_keys_of_a_later_minor_version_are_left_out(clip):
    table = clips_table([clip]).append_column("mood", pa.array(["sad"]))
    assert clip_rows(table) == [clip]
    later = json.dumps({**json.loads(MOVIE.to_json()), "mood": "sad"})
    assert MovieRow.from_json(later) == MOVIE


def test_an_older_dataset_lacks_columns_that_were_added_later(clip):
    row = dataclasses.replace(MOVIE, video_lost_ns=5)
    table = movies_table([row]).drop_columns(list(ADDED_COLUMNS))
    assert movie_rows(table) == [dataclasses.replace(row, video_lost_ns=0)]
    assert set(ADDED_COLUMNS) <= {item.name for item in dataclasses.fields(MovieRow)}


def test_missing_and_mistyped_columns_are_named(clip):
    table = clips_table([clip]).drop_columns(["fps"])
    table = table.set_column(0, "clip_id", pa.array([1]))
    with pytest.raises(FormatError, match=r"clip_id: wrong type, fps: missing"):
        require_columns(table, CLIPS_SCHEMA, "clips")


def test_member_equals_the_index_row(clip):
    row = dataclasses.replace(clip, luma_mean=100.1)  # not a float32
    member = json.loads(row.to_member(row.shard))
    indexed = clips_table([row]).to_pylist()[0]
    assert member == {
        name: value for name, value in indexed.items() if name not in LOCATION_COLUMNS
    }


def test_member_rejects_numbers_that_json_cannot_represent(clip):
    with pytest.raises(ValueError, match="JSON"):
        dataclasses.replace(clip, motion=float("nan")).to_member("")
