"""The validator accepts a good dataset; each kind of shard damage fails the matching check."""

import dataclasses
import json
import os
import tarfile

import google_crc32c
import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from shards_spec import layout
from shards_spec.dataset.index import read_commit
from shards_spec.dataset.validation.validator import validate
from shards_spec.schema.tables import clip_rows
from tests.support.datasets.flawed import (
    SHARD,
    edit_row,
    edit_shard,
    failed,
    recommit,
    replace_members,
)


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


def test_quick_does_not_read_the_bytes(data):
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


def test_truncated_shard(data):
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


#: Of the shape in the index, but without colors.
GRAY_STRIP = simplejpeg.encode_jpeg(np.zeros((4 * 32, 48, 1), np.uint8), 90, "GRAY", "Gray")


@pytest.mark.parametrize(
    ("members", "check"),
    [
        ({"frames_jpg": b"no jpeg"}, "frames"),
        ({"frames_jpg": GRAY_STRIP}, "frames"),
        ({"logmel_npy": b"no npy"}, "logmel"),
        ({"logmel_npy": b""}, "members"),
        ({"json": b"{}"}, "row"),
        ({"json": b"["}, "row"),
        ({"audio_flac": b"fLaC"}, "audio"),
    ],
)
def test_broken_members_with_a_correct_checksum(data, members, check):
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


def test_examples_are_few_and_the_count_is_complete(data):
    recommit(data, lambda rows: [dataclasses.replace(row, fps=4.0) for row in rows])
    check = validate(data.storage).check("recipe")
    assert check.num_problems == 20
    assert len(check.examples) == 5


@pytest.mark.parametrize("name", [b"commits/\xff.parquet", b"a\x1b[2J.txt", b"shards/x\n/y.tar"])
def test_names_that_cannot_be_read_are_named_and_ignored(data, name):
    path = os.path.join(os.fsencode(data.storage.local_path()), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(path, "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("the file system refuses such names")
    report = validate(data.storage)
    assert report.ok
    assert [check.name for check in report.checks if check.state == "warning"] == ["stray"]
    assert ascii(os.fsdecode(name)) in json.dumps(report.to_json()).replace("\\\\", "\\")
