"""Streams of a small dataset: create, read, compare, and damage their shards."""

from __future__ import annotations

from collections.abc import Callable

import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.schema.tables import clip_rows
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.batch import Batch
from trainer.data.stream.stream import ClipStream

MakeDataset = Callable[..., Dataset]
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
CONFIG = StreamConfig(
    frame_size=32, num_processes=0, num_threads=2, reads_in_flight=3, deadline_seconds=0.3
)
CLIPS_PER_MOVIE = (8, 21, 30, 12)


def write(make_toy_dataset: MakeDataset, uri: str) -> Dataset:
    return make_toy_dataset(uri, num_movies=4, clips_per_movie=CLIPS_PER_MOVIE, shard_bytes=40_000)


def batches(
    dataset: Dataset,
    num_batches: int,
    policy: BatchPolicy = POLICY,
    config: StreamConfig = CONFIG,
    *,
    rank: int = 0,
    world_size: int = 1,
    epoch: int = 0,
    step: int = 0,
) -> list[Batch]:
    with ClipStream(
        dataset,
        policy,
        config,
        seed=5,
        rank=rank,
        world_size=world_size,
        epoch=epoch,
        step=step,
    ) as stream:
        return [next(stream) for _ in range(num_batches)]


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert (one.epoch, one.step) == (other.epoch, other.step)
        for name in ("clip", "group", "movie", "shot", "start_ns", "frames", "logmel"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def corrupt(dataset: Dataset, clip_id: str, offset: int = 700) -> None:
    """Flip a byte of a clip in its shard."""
    row = next(row for row in clip_rows(dataset.clips) if row.clip_id == clip_id)
    path = dataset.storage.local_path(row.shard)
    data = bytearray(path.read_bytes())
    data[row.tar_offset + offset] ^= 0xFF
    path.write_bytes(data)
