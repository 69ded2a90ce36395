"""Reading by range, and errors that name the location."""

import dataclasses
import json

import numpy as np
import pytest

from shards_spec import layout
from shards_spec.dataset.reader import open_dataset, read_clips, recipe_of
from shards_spec.errors import ChecksumError, FormatError, InputError, StorageError
from shards_spec.schema.tables import clip_rows


@pytest.fixture
def data(make_toy_dataset, tmp_path):
    return make_toy_dataset(str(tmp_path / "d"), num_movies=1, clips_per_movie=6)


def test_range_of_consecutive_clips(data, toy):
    rows = clip_rows(data.clips)[2:5]
    samples = read_clips(data.storage, rows)
    assert [sample.clip_id for sample in samples] == [row.clip_id for row in rows]
    assert samples[0].frames.shape == (4, 32, 48, 3)
    assert samples[0].logmel.shape == (16, 80)
    assert samples[0].row["clip_number"] == rows[0].clip_number
    # The bright bar's position shows the class.
    bright = samples[0].frames[0, 0].astype(int).sum(axis=-1).argmax()
    assert bright * 8 // 48 == toy.toy_class(rows[0].clip_number)
    assert read_clips(data.storage, []) == []


def test_rows_that_are_not_adjacent_are_a_programming_error(data):
    rows = clip_rows(data.clips)
    with pytest.raises(ValueError, match="does not follow"):
        read_clips(data.storage, [rows[0], rows[2]])


def test_flipped_byte_names_shard_and_clip(data):
    row = clip_rows(data.clips)[3]
    shard = bytearray(data.storage.get(row.shard))
    shard[row.tar_offset + 700] ^= 1
    data.storage.put(row.shard, shard)
    with pytest.raises(ChecksumError) as caught:
        read_clips(data.storage, [row])
    assert row.shard in str(caught.value)
    assert row.clip_id in str(caught.value)


def test_another_clip_at_the_location_is_named(data):
    first, second = clip_rows(data.clips)[:2]
    wrong = dataclasses.replace(first, clip_id=second.clip_id)
    with pytest.raises(FormatError, match=f"expected clip {second.clip_id}, found {first.clip_id}"):
        read_clips(data.storage, [wrong])


def test_truncated_shard(data):
    row = clip_rows(data.clips)[-1]
    data.storage.put(row.shard, data.storage.get(row.shard)[: row.tar_offset + 100])
    with pytest.raises(StorageError, match="truncated"):
        read_clips(data.storage, [row])


def test_missing_dataset(tmp_path):
    with pytest.raises(InputError, match=r"has no dataset\.json"):
        open_dataset(str(tmp_path))


def rewrite_info(data, **changes):
    data.storage.put(layout.DATASET_JSON, json.dumps({**data.info, **changes}).encode())


def test_other_versions(data):
    rewrite_info(data, spec_version="1.7", recipe={**data.info["recipe"], "mood": 1})
    assert open_dataset(data.storage).recipe == data.recipe
    rewrite_info(data, spec_version="2.0")
    with pytest.raises(InputError, match=r"format 2\.0"):
        open_dataset(data.storage)


def test_an_unknown_setting_in_the_current_version_is_rejected(data):
    with pytest.raises(InputError, match="mood"):
        recipe_of({**data.info, "recipe": {"mood": 1}})


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"spec_version": "1.0"}', b"\xff"])
def test_broken_info(data, text):
    data.storage.put(layout.DATASET_JSON, text)
    with pytest.raises(FormatError, match=r"dataset\.json"):
        open_dataset(data.storage)


@pytest.mark.parametrize("key", [layout.CLIPS_PARQUET, layout.MOVIES_PARQUET])
def test_broken_index(data, key):
    whole = data.storage.get(key)
    data.storage.put(key, whole[:-20])
    with pytest.raises(FormatError, match=key):
        open_dataset(data.storage)


def test_fingerprint_depends_on_the_clips(data, make_toy_dataset, tmp_path):
    other = make_toy_dataset(str(tmp_path / "e"), num_movies=1, clips_per_movie=7)
    assert other.fingerprint != data.fingerprint == open_dataset(data.storage.uri).fingerprint


def test_same_clips_from_s3(data, make_toy_dataset, s3_bucket):
    remote = make_toy_dataset(f"{s3_bucket}/pre fix", num_movies=1, clips_per_movie=6)
    assert remote.fingerprint == data.fingerprint
    local = read_clips(data.storage, clip_rows(data.clips))
    for one, two in zip(local, read_clips(remote.storage, clip_rows(remote.clips)), strict=True):
        np.testing.assert_array_equal(one.frames, two.frames)
        np.testing.assert_array_equal(one.logmel, two.logmel)
