"""Decoding clips: the frames and log-mels that the reader of the format decodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shards_spec.dataset.reader import Dataset, read_clips
from shards_spec.dataset.writer import tar_sample
from shards_spec.errors import FormatError
from shards_spec.sample import encode_logmel, encode_strip, split_members
from shards_spec.schema.tables import clip_rows
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.decode import ClipDecoder, cacheable_array

MakeDataset = Callable[..., Dataset]
pytestmark = pytest.mark.usefixtures("no_threads_left")

CONFIG = StreamConfig(frame_size=32, num_threads=2, reads_in_flight=3)


@pytest.fixture
def dataset(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    sizes = (8, 21, 30, 12)
    return make_toy_dataset(str(tmp_path), num_movies=4, clips_per_movie=sizes, shard_bytes=40_000)


def decode(
    dataset: Dataset, data: memoryview | dict[str, bytes], *, row: int = 0, size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Frames, cropped at (0, 8) or uncropped, and log-mel of clip `row` of the first shard."""
    location = ClipLocation.take(dataset.clips, np.array([row]))[0]
    if isinstance(data, dict):
        data = memoryview(tar_sample(location.clip_id, data))
    recipe = dataset.recipe
    frames = np.zeros((recipe.num_frames, size, size, 3), np.uint8)
    logmel = np.zeros((recipe.n_mels, recipe.num_mel_frames), np.float16)
    left = 8 if size < location.width else 0
    ClipDecoder(recipe).decode_into(
        np.frombuffer(data, np.uint8), location, frames, logmel, top=0, left=left
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
    """Writes to a buffer aligned to 32 bytes would bypass the cache."""
    for _ in range(20):
        memory = cacheable_array(shape)
        assert memory.shape == shape
        assert memory.flags.c_contiguous
        assert memory.flags.writeable
        assert memory.ctypes.data % 32 == 16
