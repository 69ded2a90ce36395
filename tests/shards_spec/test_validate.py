"""The validator passes a good dataset, and each corruption fails the check that it should."""

import dataclasses
import json
import tarfile
from collections.abc import Callable

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.reader import Dataset
from shards_spec.schema import clip_rows, clips_table, movie_rows, movies_table
from shards_spec.validate import validate
from shards_spec.writer import read_commit, tar_sample, write_commit, write_index

SHARD = layout.shard_key("movie-001", 0)


@pytest.fixture
def data(make_toy_dataset, tmp_path):
    return make_toy_dataset(
        str(tmp_path / "d"), num_movies=2, clips_per_movie=20, num_failed=1, shard_bytes=40_000
    )


def failed(data: Dataset, **options: bool) -> set[str]:
    return {
        check.name for check in validate(data.storage, **options).checks if check.state == "failed"
    }


def put_table(data: Dataset, key: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    data.storage.put(key, sink.getvalue().to_pybytes())


def recommit(data: Dataset, edit: Callable, movie_id: str = "movie-001") -> None:
    """Change a movie's clip rows in commit and index alike."""
    movie, rows = read_commit(data.storage, movie_id)
    rows = edit(rows)
    write_commit(data.storage, dataclasses.replace(movie, num_clips=len(rows)), rows)
    write_index(data.storage, data.recipe, "toy")


def edit_row(place: int, **changes: object) -> Callable:
    return lambda rows: [
        dataclasses.replace(row, **changes) if number == place else row
        for number, row in enumerate(rows)
    ]


def edit_shard(data: Dataset, edit: Callable[[bytearray], object]) -> None:
    shard = bytearray(data.storage.get(SHARD))
    edited = edit(shard)
    data.storage.put(SHARD, shard if edited is None else edited)


def replace_members(data: Dataset, **members: bytes) -> None:
    """Write other members for the last clip of a shard, with its true size and checksum."""
    movie, rows = read_commit(data.storage, "movie-001")
    row = [row for row in rows if row.shard == SHARD][-1]
    shard = data.storage.get(SHARD)
    with tarfile.open(fileobj=pa.BufferReader(shard[row.tar_offset :])) as tar:
        old = {m.name.partition(".")[2]: tar.extractfile(m).read() for m in tar}
    new = {**old, **{name.replace("_", "."): value for name, value in members.items()}}
    piece = tar_sample(row.clip_id, {name: value for name, value in new.items() if value})
    data.storage.put(SHARD, shard[: row.tar_offset] + piece + bytes(1024))
    placed = dataclasses.replace(row, tar_bytes=len(piece), crc32c=google_crc32c.value(piece))
    total = movie.shard_bytes + len(piece) - row.tar_bytes
    rows = [placed if one is row else one for one in rows]
    write_commit(data.storage, dataclasses.replace(movie, shard_bytes=total), rows)
    write_index(data.storage, data.recipe, "toy")


def test_a_good_dataset_passes(data):
    report = validate(data.storage)
    assert report.ok
    assert {check.state for check in report.checks} == {"ok"}
    assert (report.num_movies, report.num_clips) == (3, 40)
    assert report.shard_bytes == data.info["totals"]["shard_bytes"]
    assert report.spread.num_runs == 2 * 5
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_an_empty_dataset_passes(make_toy_dataset, tmp_path):
    report = validate(make_toy_dataset(str(tmp_path / "d"), num_movies=0).storage)
    assert report.ok
    assert report.spread is None


def test_overlapping_clips_pass_when_the_recipe_says_so(make_toy_dataset, tmp_path):
    data = make_toy_dataset(str(tmp_path / "d"), overlap_frames=2, fps=23.976)
    assert validate(data.storage).ok


def test_quick_leaves_the_bytes_alone(data):
    edit_shard(data, lambda shard: shard.__setitem__(700, shard[700] ^ 1))
    assert failed(data, quick=True) == set()
    assert failed(data) >= {"checksum"}


def test_spread_beats_a_random_order(make_toy_dataset, tmp_path):
    data = make_toy_dataset(str(tmp_path / "d"), num_movies=1, clips_per_movie=200)
    spread = validate(data.storage, quick=True).spread
    assert spread.median_gap_seconds >= 4 * spread.random_median_gap_seconds


def test_flipped_byte(data):
    edit_shard(data, lambda shard: shard.__setitem__(700, shard[700] ^ 1))
    report = validate(data.storage)
    (problem,) = report.check("checksum").examples
    assert problem.where == SHARD
    assert (
        problem.clip_id
        == clip_rows(data.clips.filter(pa.compute.equal(data.clips["shard"], SHARD)))[0].clip_id
    )


def test_cut_shard(data):
    edit_shard(data, lambda shard: shard[: len(shard) // 2])
    assert failed(data) >= {"ranges", "movies"}


def test_end_blocks_missing_or_not_zero(data):
    edit_shard(data, lambda shard: shard.__setitem__(-1, 1))
    assert failed(data) == {"ranges"}
    edit_shard(data, lambda shard: shard[:-512])
    assert failed(data) >= {"ranges"}


def test_missing_shard(data):
    data.storage.delete(SHARD)
    assert failed(data) == {"structure"}


def test_swapped_clips(data):
    one, two = clip_rows(data.clips.filter(pa.compute.equal(data.clips["shard"], SHARD)))[:2]

    def swap(shard):
        first = shard[: one.tar_bytes]
        second = shard[two.tar_offset : two.tar_offset + two.tar_bytes]
        return second + first + shard[two.tar_offset + two.tar_bytes :]

    edit_shard(data, swap)
    assert failed(data) >= {"checksum", "members"}


def test_foreign_clip_in_a_shard(data):
    foreign = clip_rows(data.clips)[0]
    assert foreign.movie_id == "movie-000"
    recommit(data, edit_row(3, clip_id=foreign.clip_id, shard=foreign.shard))
    assert failed(data) >= {"purity", "unique", "members"}


def test_duplicate_clip(data):
    recommit(data, lambda rows: [*rows, rows[-1]])
    assert failed(data) >= {"unique", "permutation", "ranges", "time"}


def test_wrong_offset(data):
    recommit(data, edit_row(1, tar_offset=512))
    assert failed(data) >= {"ranges", "checksum", "members"}


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


def test_commit_that_the_index_does_not_know(data):
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
def test_rows_that_are_not_of_the_recipe(data, changes):
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


@pytest.mark.parametrize(
    ("members", "check"),
    [
        ({"frames_jpg": b"no jpeg"}, "frames"),
        ({"logmel_npy": b"no npy"}, "logmel"),
        ({"logmel_npy": b""}, "members"),
        ({"json": b"{}"}, "row"),
        ({"json": b"["}, "row"),
        ({"audio_flac": b"fLaC"}, "audio"),
    ],
)
def test_broken_members_with_a_true_checksum(data, members, check):
    replace_members(data, **members)
    assert failed(data) == {check}


def test_further_members_of_a_later_minor_version_pass(data):
    replace_members(data, depth_png=b"anything")
    assert failed(data) == set()


def test_tar_headers_of_another_form(data):
    row = clip_rows(data.clips.filter(pa.compute.equal(data.clips["shard"], SHARD)))[0]

    def other_owner(shard):
        header = tarfile.TarInfo.frombuf(bytes(shard[:512]), "utf-8", "strict")
        header.uname = "someone"
        shard[:512] = header.tobuf(tarfile.USTAR_FORMAT)

    edit_shard(data, other_owner)
    crc = google_crc32c.value(data.storage.get(SHARD)[: row.tar_bytes])
    movie_rows_of = read_commit(data.storage, "movie-001")[1]
    place = [one.clip_id for one in movie_rows_of].index(row.clip_id)
    recommit(data, edit_row(place, crc32c=crc))
    assert failed(data) == {"members"}


def test_strays_are_warnings(data):
    data.storage.put(layout.shard_key("movie-001", 99), b"x")
    data.storage.put(layout.shard_key("nobody", 0), b"x")
    (data.storage.local_path("shards/movie-001") / "movie-001-00000.tar#3").write_bytes(b"x")
    report = validate(data.storage)
    assert report.ok
    assert report.check("stray").num_problems == 2
    assert report.check("temporary").num_problems == 1
    assert report.check("stray").state == "warning"


def test_examples_are_few_and_the_count_is_whole(data):
    recommit(data, lambda rows: [dataclasses.replace(row, fps=4.0) for row in rows])
    check = validate(data.storage).check("recipe")
    assert check.num_problems == 20
    assert len(check.examples) == 5
