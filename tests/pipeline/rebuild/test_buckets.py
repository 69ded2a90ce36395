"""Locks, copies and rebuilt datasets in buckets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.movie.alone import shard_movie
from pipeline.sources.corpus import local_movie
from shards_spec.__main__ import main as spec_main
from shards_spec.dataset.lockfile import lock_dataset
from shards_spec.dataset.lockfile.file import read_lock
from shards_spec.dataset.reader import open_dataset
from shards_spec.dataset.validation import validate
from shards_spec.errors import InputError
from shards_spec.storage import Storage
from tests.support.films.melodies import RECIPE, make_copy, make_movie


@pytest.mark.slow
def test_a_lock_and_a_rebuild_within_a_bucket(s3_bucket: str, tmp_path: Path) -> None:
    movie = make_movie(tmp_path / "A Movie.mp4", 9, seed=21)
    copy = make_copy(tmp_path / "late copy.mkv", movie, "-vf", "hue=s=0")
    bucket = Storage(s3_bucket)
    shard_movie(local_movie(str(movie), movie.name), RECIPE, Storage(f"{s3_bucket}/data"))
    bucket.put("same/A Movie.mp4", movie)
    bucket.put("copies/late copy.mkv", copy)
    lock = f"{s3_bucket}/locks/a movie.lock"
    assert spec_main(["lock", f"{s3_bucket}/data", "--out", lock]) == 0
    assert read_lock(lock).digest == lock_dataset(open_dataset(f"{s3_bucket}/data")).digest
    # From the same file in the bucket, and back to it.
    command = ["rebuild", lock, "--from"]
    same = f"{s3_bucket}/again"
    assert main([*command, f"{s3_bucket}/same", "--out", same]) == 0
    for key in ("index/clips.parquet", *_shards(same)):
        assert Storage(same).get(key) == Storage(f"{s3_bucket}/data").get(key)
    # From another copy there, and from local files to the bucket.
    other, local = f"{s3_bucket}/other", f"{s3_bucket}/local"
    assert main([*command, f"{s3_bucket}/copies", "--out", other]) in (0, 1)
    assert main([*command, str(movie), "--out", local]) == 0
    assert open_dataset(other).clips.num_rows >= 4
    for uri in (same, other, local):
        assert validate(uri).ok


def _shards(uri: str) -> list[str]:
    return sorted(set(open_dataset(uri).clips["shard"].to_pylist()))


def test_what_buckets_lack_is_named(s3_bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; make a lockfile"):
        read_lock(f"{s3_bucket}/none.lock")
    with pytest.raises(InputError, match="does not name a file"):
        read_lock(s3_bucket)
    Storage(s3_bucket).put("text.lock", b"not a lock")
    with pytest.raises(InputError, match="not a lockfile"):
        read_lock(f"{s3_bucket}/text.lock")
