"""The writer: reproducible bytes, correct offsets, shard rollover, commits and the index."""

import io
import json
import tarfile

import google_crc32c
import pyarrow.parquet as pq
import pytest

from shards_spec import layout
from shards_spec.dataset.index import read_commit, read_committed_movies, write_commit, write_index
from shards_spec.dataset.writer import MovieWriter
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.schema import MovieRow
from shards_spec.schema.tables import clip_rows
from shards_spec.storage.storage import Storage


def all_bytes(data):
    """All files that readers open; `index/parts` also contains the commit records' ETags."""
    keys = [info.key for info in data.storage.list() if not info.key.startswith("index/parts")]
    return {key: data.storage.get(key) for key in keys}


def test_same_inputs_yield_the_same_bytes(make_toy_dataset, tmp_path):
    one = make_toy_dataset(str(tmp_path / "one"), shard_bytes=20_000, num_failed=1)
    two = make_toy_dataset(str(tmp_path / "two"), shard_bytes=20_000, num_failed=1)
    assert all_bytes(one) == all_bytes(two)
    assert one.fingerprint == two.fingerprint


def test_offsets_and_checksums_are_those_of_the_members(make_toy_dataset, tmp_path):
    data = make_toy_dataset(str(tmp_path / "d"), num_movies=1, clips_per_movie=5)
    shard = data.storage.get(layout.shard_key("movie-000", 0))
    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        members = tar.getmembers()
    for row in clip_rows(data.clips):
        of_clip = [m for m in members if m.name.startswith(f"{row.clip_id}.")]
        names = [m.name.removeprefix(f"{row.clip_id}.") for m in of_clip]
        assert names == ["frames.jpg", "json", "logmel.npy"]
        assert of_clip[0].offset == row.tar_offset
        assert (of_clip[0].mode, of_clip[0].mtime, of_clip[0].uid) == (0o644, 0, 0)
        piece = shard[row.tar_offset : row.tar_offset + row.tar_bytes]
        assert google_crc32c.value(piece) == row.crc32c
        end = of_clip[-1].offset_data + -(-of_clip[-1].size // 512) * 512
        assert end == row.tar_offset + row.tar_bytes
    assert shard[end:] == bytes(1024)


def test_a_shard_is_closed_by_the_clip_that_reaches_its_size(make_toy_dataset, tmp_path):
    data = make_toy_dataset(str(tmp_path / "d"), num_movies=1, shard_bytes=15_000)
    rows = clip_rows(data.clips)
    shards = sorted({row.shard for row in rows})
    assert shards == [layout.shard_key("movie-000", number) for number in range(len(shards))]
    assert len(shards) > 1
    for shard in shards[:-1]:
        sizes = [row.tar_bytes for row in rows if row.shard == shard]
        assert sum(sizes) >= 15_000 > sum(sizes[:-1])


def test_a_clip_of_another_movie_is_rejected(toy, tmp_path):
    recipe = toy.toy_recipe()
    row = toy.toy_row(recipe, "other", "other", 0, 32, 48)
    with (
        MovieWriter(Storage(str(tmp_path)), "this", 1) as writer,
        pytest.raises(FormatError, match="does not belong to movie this"),
    ):
        writer.add(row, {})


@pytest.mark.parametrize("movie_id", ["", "A", "a b", "ü", "a/b", "a.b", "x" * 65, "a\n"])
def test_bad_movie_ids_are_rejected(movie_id, tmp_path):
    with pytest.raises(FormatError, match="movie id"):
        MovieWriter(Storage(str(tmp_path)), movie_id, 1)


def test_nothing_is_uploaded_after_a_failure(toy, tmp_path):
    recipe, storage = toy.toy_recipe(), Storage(str(tmp_path))
    row = toy.toy_row(recipe, "m", "m", 0, 32, 48)

    def write_and_fail():
        with MovieWriter(storage, "m", 10**9) as writer:
            writer.add(row, toy.toy_members(recipe, row, 0))
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        write_and_fail()
    assert list(storage.list()) == []


def test_commit_round_trip(make_toy_dataset, tmp_path):
    data = make_toy_dataset(str(tmp_path / "d"), num_movies=2, num_failed=1)
    movie, rows = read_commit(data.storage, "movie-001")
    assert rows == [row for row in clip_rows(data.clips) if row.movie_id == "movie-001"]
    committed = read_committed_movies(data.storage)
    assert committed["movie-001"] == movie
    assert committed["broken-000"].status == "quarantined"
    with pytest.raises(ObjectNotFoundError):
        read_commit(data.storage, "nobody")


def test_broken_and_foreign_commits_are_rejected(make_toy_dataset, tmp_path):
    storage = make_toy_dataset(str(tmp_path / "d"), num_movies=1).storage
    whole = storage.get(layout.commit_key("movie-000"))
    plain = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(whole)).replace_schema_metadata(None), plain)
    broken = bytearray(whole)
    broken[len(broken) // 3 : len(broken) // 2] = bytes(len(broken) // 2 - len(broken) // 3)
    for data in (b"", b"PAR1", whole[:-9], plain.getvalue(), bytes(broken)):
        storage.put(layout.commit_key("movie-000"), data)
        with pytest.raises(FormatError, match="movie-000 is unreadable"):
            read_commit(storage, "movie-000")
    storage.put(layout.commit_key("other"), whole)
    with pytest.raises(FormatError, match="it belongs to movie 'movie-000'"):
        read_commit(storage, "other")


def test_index_of_an_empty_dataset(toy, tmp_path):
    storage = Storage(str(tmp_path))
    assert write_index(storage, toy.toy_recipe(), "v") == []
    assert json.loads(storage.get(layout.DATASET_JSON))["totals"]["clips"] == 0


def test_index_contains_all_committed_movies(make_toy_dataset, toy, tmp_path):
    data = make_toy_dataset(str(tmp_path / "d"), num_movies=2)
    movie = MovieRow(
        movie_id="a", group="a", source_uri="", source_bytes=0, source_fingerprint="",
        recipe_fingerprint="", status="failed", error_class="X", error="y",
    )  # fmt: skip
    write_commit(data.storage, movie, [])
    rows = write_index(data.storage, data.recipe, "v9", {"note": "hello"})
    assert [row.movie_id for row in rows] == ["a", "movie-000", "movie-001"]
    info = json.loads(data.storage.get(layout.DATASET_JSON))
    assert info["note"] == "hello"
    assert info["totals"]["movies_failed"] == 1
    assert info["totals"]["clips"] == 16
