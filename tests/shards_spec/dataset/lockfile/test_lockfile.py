"""Lockfiles: what they contain, and that damaged ones are refused with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards_spec.__main__ import main
from shards_spec.dataset.lockfile import lock_dataset
from shards_spec.dataset.lockfile.columns import digest_of
from shards_spec.dataset.lockfile.file import read_lock, write_lock
from shards_spec.dataset.lockfile.lock import FIRST_VERSION, LOCK_VERSION, LockedDrops
from shards_spec.dataset.lockfile.words import audio_words
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, InputError
from shards_spec.recipe import Recipe

_METADATA = b"reelshards.lock"


@pytest.fixture
def lockfile(data: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "locks" / "toy.lock"
    write_lock(str(path), lock_dataset(data))
    return path


def test_a_lock_has_the_clips_of_the_index(data: Dataset, lockfile: Path) -> None:
    lock = read_lock(str(lockfile))
    assert lock.recipe == data.recipe
    rows = data.clips.to_pylist()
    locked = [
        (movie.movie_id, number, *lock.clip_ns(int(step)), crc)
        for movie in lock.movies
        for number, step, crc in zip(
            movie.clips.clip_number.tolist(),
            movie.clips.start_step.tolist(),
            movie.clips.crc32c.tolist(),
            strict=True,
        )
    ]
    names = ("movie_id", "clip_number", "start_ns", "end_ns", "crc32c")
    assert locked == [tuple(row[name] for name in names) for row in rows]


def test_a_lock_names_no_folder(data: Dataset, lockfile: Path) -> None:
    table = pq.read_table(lockfile)
    texts = json.dumps(table.select(["source_name", "extra"]).to_pylist())
    assert "/" not in texts
    assert {name.rpartition("/")[2] for name in data.movies["source_uri"].to_pylist()} >= set(
        table["source_name"].to_pylist()
    )


def test_equal_datasets_have_equal_lockfiles(data: Dataset, lockfile: Path) -> None:
    again = lockfile.with_name("again.lock")
    assert main(["lock", data.storage.uri, "--out", str(again)]) == 0
    assert again.read_bytes() == lockfile.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_a_truncated_lockfile_is_refused(lockfile: Path, share: float) -> None:
    whole = lockfile.read_bytes()
    lockfile.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises((InputError, FormatError), match="lock"):
        read_lock(str(lockfile))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("duration_ns", 77, "was changed"),
        ("source_name", "other.mkv", "was changed"),
        ("movie_id", "../evil", "impossible"),
        ("height", 1 << 30, "impossible"),
        ("extra", "[", "not JSON"),
    ],
)
def test_a_changed_lockfile_is_refused(
    lockfile: Path, column: str, value: object, message: str
) -> None:
    table = pq.read_table(lockfile)
    kind = table.schema.field(column)
    values = [value, *table[column].to_pylist()[1:]]
    index = table.schema.get_field_index(column)
    pq.write_table(table.set_column(index, kind, pa.array(values, kind.type)), lockfile)
    with pytest.raises(FormatError, match=message):
        read_lock(str(lockfile))


def test_a_lockfile_of_the_first_version_is_readable(data: Dataset, tmp_path: Path) -> None:
    lock, path = lock_dataset(data), tmp_path / "old.lock"
    digest = digest_of(lock.recipe, lock.movies, lock.ffmpeg_version, FIRST_VERSION)
    write_lock(str(path), replace(lock, version=FIRST_VERSION, digest=digest))
    assert not [name for name in pq.read_schema(path).names if name.startswith("drop_")]
    old = read_lock(str(path))
    assert (old.version, old.digest) == (FIRST_VERSION, digest)
    assert digest != lock.digest
    for before, after in zip(lock.movies, old.movies, strict=True):
        assert after.clips.frame_words.tolist() == before.clips.frame_words.tolist()
        assert not len(after.drops)


def test_dropped_clips_are_in_the_lock(data: Dataset, tmp_path: Path) -> None:
    lock, path = lock_dataset(data), str(tmp_path / "drops.lock")
    numbers, starts = np.array([-1, 90], np.int32), np.array([0, 5 * 10**9])
    drops = LockedDrops(numbers, starts, starts + 10**9, np.array([0, 2], np.int32))
    movies = [replace(lock.movies[0], drops=drops), *lock.movies[1:]]
    digest = digest_of(lock.recipe, movies, lock.ffmpeg_version, LOCK_VERSION)
    write_lock(path, replace(lock, movies=movies, digest=digest))
    assert read_lock(path).movies[0].drops.rows() == [
        (-1, 0, 10**9, "too_short"),
        (90, 5 * 10**9, 6 * 10**9, "black"),
    ]
    impossible = replace(drops, reason=np.array([0, 99], np.int32))
    movies = [replace(lock.movies[0], drops=impossible), *lock.movies[1:]]
    digest = digest_of(lock.recipe, movies, lock.ffmpeg_version, LOCK_VERSION)
    write_lock(path, replace(lock, movies=movies, digest=digest))
    with pytest.raises(FormatError, match="impossible"):
        read_lock(path)


def test_one_changed_time_is_noticed(lockfile: Path) -> None:
    table = pq.read_table(lockfile)
    steps = table["start_step"].to_pylist()
    steps[1][3] += 1
    index = table.schema.get_field_index("start_step")
    field = table.schema.field("start_step")
    pq.write_table(table.set_column(index, field, pa.array(steps, field.type)), lockfile)
    with pytest.raises(FormatError, match="was changed"):
        read_lock(str(lockfile))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"lock_version": "2.0"}, InputError, "version 2.0"),
        ({"lock_version": "1.2"}, InputError, "version 1.2"),
        ({"words_version": "9"}, InputError, "words of version 9"),
        ({"digest": 5}, FormatError, "damaged"),
        ({"recipe": {"num_frames": "many"}}, InputError, "num_frames"),
    ],
)
def test_other_headers_are_refused(
    lockfile: Path, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    table = pq.read_table(lockfile)
    header = {**json.loads(table.schema.metadata[_METADATA]), **changes}
    table = table.replace_schema_metadata({_METADATA: json.dumps(header).encode()})
    pq.write_table(table, lockfile)
    with pytest.raises(error, match=message):
        read_lock(str(lockfile))


def test_what_is_not_a_lockfile_is_named(data: Dataset, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a lock")
    with pytest.raises(InputError, match="not a lockfile"):
        read_lock(str(text))
    with pytest.raises(InputError, match="not a lockfile"):
        read_lock(str(data.storage.local_path("index/clips.parquet")))
    with pytest.raises(InputError, match="does not exist"):
        read_lock(str(tmp_path / "none.lock"))


def test_words_of_silence_and_of_a_tone_are_none() -> None:
    recipe = Recipe()
    shape = (recipe.n_mels, recipe.num_mel_frames)
    silence = np.full(shape, -23.0, np.float16)
    tone = silence.copy()
    tone[30] = 2.0
    assert not audio_words(silence, recipe).any()
    assert not audio_words(tone, recipe).any()


def test_loudness_does_not_change_words() -> None:
    recipe = Recipe()
    logmel = np.random.default_rng(3).normal(0, 2, (recipe.n_mels, recipe.num_mel_frames))
    words = audio_words(logmel, recipe)
    assert words.all()
    assert audio_words(logmel - 3.0, recipe).tolist() == words.tolist()


def test_clips_of_any_length_have_words() -> None:
    for num_frames, count in ((1, 1), (5, 1), (16, 4), (50, 12)):
        recipe = replace(Recipe(), num_frames=num_frames)
        logmel = np.random.default_rng(4).normal(0, 2, (recipe.n_mels, recipe.num_mel_frames))
        assert len(audio_words(logmel, recipe)) == count
