"""Ranged reads, decoding, substitutes for bad clips, and reading rows in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from shards_spec.errors import FormatError, StorageError
from shards_spec.reader import Dataset, read_clips
from shards_spec.sample import encode_logmel, encode_strip, split_members
from shards_spec.schema import clip_rows
from shards_spec.storage.storage import Storage
from shards_spec.writer import tar_sample
from trainer.fetch.clip_location import ClipLocation
from trainer.fetch.counters import Counters
from trainer.fetch.fetcher import Fetcher
from trainer.fetch.ranges import merge_ranges
from trainer.loader.config import StreamConfig
from trainer.loader.decode import ClipDecoder, cacheable_array
from trainer.plan.clip_index import ClipIndex
from trainer.plan.policy import BatchPolicy
from trainer.plan.substitutes import substitute_rows
from trainer.stream.one_pass import read_all

MakeDataset = Callable[..., Dataset]
pytestmark = pytest.mark.usefixtures("no_threads_left")

CONFIG = StreamConfig(frame_size=32, num_threads=2, reads_in_flight=3)


@pytest.fixture
def dataset(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    sizes = (8, 21, 30, 12)
    return make_toy_dataset(str(tmp_path), num_movies=4, clips_per_movie=sizes, shard_bytes=40_000)


def test_substitutes_keep_the_guarantees_of_a_batch(dataset: Dataset) -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=2, min_gap_seconds=4.0)
    index = ClipIndex.from_dataset(dataset, policy)
    rows = clip_rows(dataset.clips)
    movie = [number for number, row in enumerate(rows) if row.movie_id == "movie-002"]
    others = np.array(movie[1:4])
    found = list(substitute_rows(index, movie[0], others, 0, 0))
    assert sorted([*found, *movie[:4]]) == movie
    least = [min(abs(rows[row].start_ns - rows[o].start_ns) for o in others) for row in found]
    near = [gap < policy.min_gap_ns for gap in least]
    assert near == sorted(near), "clips that keep the gap come first"
    assert not all(near)
    assert found == list(substitute_rows(index, movie[0], others, 0, 0))


def test_read_all_returns_rows_in_order(dataset: Dataset) -> None:
    rows = [*range(40, 10, -1), 3, 60]
    found = list(read_all(dataset, rows, CONFIG, batch_size=7))
    assert [len(batch.clip) for batch in found] == [7, 7, 7, 7, 4]
    assert [row for batch in found for row in batch.clip.tolist()] == rows
    table = clip_rows(dataset.clips)
    for batch in found:
        for slot, row in enumerate(batch.clip.tolist()):
            sample = read_clips(dataset.storage, [table[row]])[0]
            assert (batch.frames[slot].numpy() == sample.frames[:, :, 8:40]).all()
            assert f"movie-{int(batch.movie[slot]):03d}" == table[row].movie_id
    assert list(read_all(dataset, [], CONFIG)) == []


def test_read_all_leaves_out_bad_clips(dataset: Dataset) -> None:
    rows = clip_rows(dataset.clips)
    for row in (rows[number] for number in (2, 9, 10, 11)):
        path = dataset.storage.local_path(row.shard)
        data = bytearray(path.read_bytes())
        data[row.tar_offset + 700] ^= 0xFF
        path.write_bytes(data)
    found = list(read_all(dataset, range(12), CONFIG, batch_size=3))
    assert [batch.clip.tolist() for batch in found] == [[0, 1], [3, 4, 5], [6, 7, 8]]
    assert [batch.step for batch in found] == [0, 1, 2]
    with pytest.raises(FormatError, match="max_bad_fraction"):
        list(read_all(dataset, range(12), StreamConfig(frame_size=32, max_bad_fraction=0.0)))


def test_an_abandoned_read_all_ends_its_threads(dataset: Dataset) -> None:
    parts = read_all(dataset, range(40), CONFIG, batch_size=2)
    next(parts)
    parts.close()  # type: ignore[attr-defined]


def test_ranges_are_merged_across_small_gaps(dataset: Dataset) -> None:
    rows = clip_rows(dataset.clips)
    same = [row for row in rows if row.shard == rows[-1].shard]
    gap = same[1].tar_bytes
    picked = [same[2], same[0], rows[0]]
    merged = merge_ranges(picked, gap)
    assert [read.numbers for read in merged] == [(2,), (1, 0)]
    assert merged[1].start == same[0].tar_offset
    assert merged[1].length == sum(row.tar_bytes for row in same[:3])
    split = merge_ranges(picked, gap - 1)
    assert [read.numbers for read in split] == [(2,), (1,), (0,)]


def test_locations_are_taken_in_any_order(dataset: Dataset) -> None:
    wanted = np.array([5, 4, 5, 0, 70, 6])
    rows = clip_rows(dataset.clips)
    for location, row in zip(
        ClipLocation.take(dataset.clips, wanted), wanted.tolist(), strict=True
    ):
        assert all(
            getattr(location, name) == getattr(rows[row], name) for name in location.__slots__
        )


def test_a_closed_fetcher_does_not_wait(dataset: Dataset) -> None:
    class Away(Storage):
        def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
            raise StorageError(f"no route to {key}")

    reader = Fetcher(Away(dataset.storage.uri), 600.0, Counters())
    reader.close()
    with pytest.raises(StorageError, match=r"no route to x \(bytes 0 to 1, 1 attempts"):
        reader.read("x", 0, 1)


def decode(
    dataset: Dataset, data: memoryview | dict[str, bytes], *, row: int = 0, size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Frames cropped at (0, 8) or whole, and the log-mel; rows are of the first shard's clips."""
    place = ClipLocation.take(dataset.clips, np.array([row]))[0]
    if isinstance(data, dict):
        data = memoryview(tar_sample(place.clip_id, data))
    recipe = dataset.recipe
    frames = np.zeros((recipe.num_frames, size, size, 3), np.uint8)
    logmel = np.zeros((recipe.n_mels, recipe.num_mel_frames), np.float16)
    left = 8 if size < place.width else 0
    ClipDecoder(recipe).decode_into(
        np.frombuffer(data, np.uint8), place, frames, logmel, top=0, left=left
    )
    return frames, logmel


def first_clip(dataset: Dataset) -> memoryview:
    row = clip_rows(dataset.clips)[0]
    return dataset.storage.get_range(row.shard, row.tar_offset, row.tar_bytes)


@pytest.mark.parametrize("width", [48, 32])
def test_decoder_agrees_with_the_reader(
    make_toy_dataset: MakeDataset, tmp_path: Path, width: int
) -> None:
    dataset = make_toy_dataset(str(tmp_path), num_movies=1, width=width)
    sample = read_clips(dataset.storage, [clip_rows(dataset.clips)[0]])[0]
    frames, logmel = decode(dataset, first_clip(dataset))
    assert (frames == (sample.frames[:, :, 8:40] if width == 48 else sample.frames)).all()
    assert (logmel == sample.logmel).all()


@pytest.mark.parametrize("order", ["as ours", "with audio", "log-mel first"])
def test_decoder_finds_members_in_any_order(dataset: Dataset, order: str) -> None:
    clip = first_clip(dataset)
    clip_id = clip_rows(dataset.clips)[0].clip_id
    members = {name: bytes(part) for name, part in split_members(clip)[clip_id].items()}
    if order == "with audio":
        members["audio.flac"] = b"fLaC" * 300
    data = tar_sample(clip_id, members)
    if order == "log-mel first":
        alone = {name: {name: part} for name, part in members.items()}
        names = ("logmel.npy", "json", "frames.jpg")
        data = b"".join(tar_sample(clip_id, alone[name]) for name in names)
    for found, expected in zip(
        decode(dataset, memoryview(data)), decode(dataset, clip), strict=True
    ):
        assert (found == expected).all()


def test_decoder_rejects_clips_that_do_not_match_the_index(dataset: Dataset) -> None:
    clip = first_clip(dataset)
    clip_id = clip_rows(dataset.clips)[0].clip_id
    members = {name: bytes(part) for name, part in split_members(clip)[clip_id].items()}
    for changes, message in [
        ({"logmel.npy": encode_logmel(np.zeros((2, 3), np.float16))}, "not \\(16, 80\\)"),
        ({"logmel.npy": b"no array"}, "log-mel"),
        ({"frames.jpg": b"not a JPEG"}, "not a readable JPEG"),
        (
            {"frames.jpg": encode_strip(np.zeros((3, 16, 32, 3), np.uint8), 90)},
            "has 32 x 48 pixels, not 4 frames of 48 x 32",
        ),
    ]:
        with pytest.raises(FormatError, match=f"clip {clip_id}: .*{message}"):
            decode(dataset, {**members, **changes})
    with pytest.raises(FormatError, match="missing"):
        decode(dataset, {"frames.jpg": members["frames.jpg"]})
    with pytest.raises(FormatError, match="the bytes belong to"):
        decode(dataset, clip, row=1)


@pytest.mark.parametrize("shape", [(16, 128, 224, 3), (1, 16, 16, 3), (3, 16, 7, 3)])
def test_strips_are_decoded_into_the_cache(shape: tuple[int, ...]) -> None:
    """Memory that starts at a multiple of 32 bytes would be written past the cache."""
    for _ in range(20):
        memory = cacheable_array(shape)
        assert memory.shape == shape
        assert memory.flags.c_contiguous
        assert memory.flags.writeable
        assert memory.ctypes.data % 32 == 16
