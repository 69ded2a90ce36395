"""The validator's checks of commits, indices and `dataset.json`: one for each wrong entry."""

import dataclasses
import json

import pyarrow as pa
import pytest

from shards_spec import layout
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.validation.validator import validate
from shards_spec.schema.tables import clip_rows, clips_table, movie_rows, movies_table
from tests.support.datasets.flawed import edit_row, failed, put_table, recommit


def test_wrong_counts_of_a_movie(data):
    movie, rows = read_commit(data.storage, "movie-001")
    write_commit(data.storage, dataclasses.replace(movie, num_shards=9, shard_bytes=1), rows)
    write_index(data.storage, data.recipe, "toy")
    report = validate(data.storage)
    assert {check.name for check in report.checks if check.num_problems} == {"movies"}
    assert report.check("movies").num_problems == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "lost"},
        {"error": "x"},
        {"status": "failed"},
        {"duration_ns": 0},
        {"recipe_fingerprint": "old"},
    ],
)
def test_wrong_status_of_a_movie(data, changes):
    movie, rows = read_commit(data.storage, "movie-001")
    changed = dataclasses.replace(movie, **changes)
    write_commit(data.storage, changed, rows)
    table = [changed if row.movie_id == "movie-001" else row for row in movie_rows(data.movies)]
    put_table(data, layout.MOVIES_PARQUET, movies_table(table))
    assert "movies" in failed(data)


def test_broken_commit(data):
    data.storage.put(layout.commit_key("movie-001"), b"no parquet")
    assert failed(data) == {"commits"}


def test_missing_commit(data):
    data.storage.delete(layout.commit_key("movie-001"))
    assert failed(data) == {"commits"}


def test_commit_missing_from_the_index(data):
    movie, _ = read_commit(data.storage, "broken-000")
    write_commit(data.storage, dataclasses.replace(movie, movie_id="later"), [])
    assert failed(data) == {"commits"}


def test_index_that_differs_from_its_commits(data):
    rows = clip_rows(data.clips)
    rows[5] = dataclasses.replace(rows[5], motion=77.0)
    put_table(data, layout.CLIPS_PARQUET, clips_table(rows))
    assert failed(data) == {"commits", "row"}


def test_clips_off_the_grid_overlapping_or_outside_the_movie(data):
    row = read_commit(data.storage, "movie-001")[1][4]
    recommit(data, edit_row(4, start_ns=row.start_ns - 1))
    assert failed(data) == {"time", "row"}
    recommit(data, edit_row(4, start_ns=row.end_ns))
    assert failed(data) == {"time", "row"}
    recommit(data, edit_row(4, start_ns=row.start_ns, first_frame_pts_ns=row.start_ns + 1))
    assert failed(data) == {"time", "row"}


def test_clip_beyond_the_end_of_its_movie(data):
    movie, rows = read_commit(data.storage, "movie-001")
    write_commit(data.storage, dataclasses.replace(movie, duration_ns=10**9), rows)
    write_index(data.storage, data.recipe, "toy")
    assert failed(data) == {"time"}


@pytest.mark.parametrize(
    "changes",
    [{"num_frames": 2}, {"fps": 4.0}, {"height": 40}, {"width": 16}, {"sample_rate_hz": 1}],
)
def test_rows_that_do_not_match_the_recipe(data, changes):
    recommit(data, edit_row(4, **changes))
    assert failed(data) >= {"recipe", "row"}


def test_wrong_totals(data):
    info = {**data.info, "totals": {**data.info["totals"], "clips": 41}}
    data.storage.put(layout.DATASET_JSON, json.dumps(info).encode())
    assert failed(data) == {"totals"}


@pytest.mark.parametrize("changes", [{"recipe_fingerprint": "0"}, {"ffmpeg_version": None}])
def test_wrong_keys_of_dataset_json(data, changes):
    data.storage.put(layout.DATASET_JSON, json.dumps({**data.info, **changes}).encode())
    assert "dataset_json" in failed(data)


def test_unusable_dataset_json_and_index(data):
    data.storage.put(layout.CLIPS_PARQUET, b"?")
    report = validate(data.storage)
    assert [check.name for check in report.checks if check.state == "failed"] == ["schema"]
    assert report.check("ranges").state == "skipped"
    data.storage.delete(layout.MOVIES_PARQUET)
    assert validate(data.storage).check("schema").num_problems == 2
    data.storage.put(layout.DATASET_JSON, b"?")
    assert failed(data) == {"dataset_json"}


def test_missing_column_and_nulls(data):
    put_table(data, layout.MOVIES_PARQUET, data.movies.drop_columns(["sar"]))
    nulls = data.clips.set_column(0, "clip_id", pa.nulls(40, pa.string()))
    put_table(data, layout.CLIPS_PARQUET, nulls)
    assert validate(data.storage).check("schema").num_problems == 2


def test_unsorted_index(data):
    put_table(data, layout.CLIPS_PARQUET, data.clips.take(list(range(39, -1, -1))))
    assert failed(data) == {"sorted"}
