"""A failing store and damaged clips at once: the batches are those of a healthy disk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.schema.tables import clip_rows
from shards_spec.storage.storage import Storage
from tests.support.stores.fault_proxy import FaultProxy
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.batch import Batch
from trainer.data.stream.stream import ClipStream

MakeDataset = Callable[..., Dataset]
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4, reads_per_movie=2)
NUM_STEPS = 12


def write_rotten(make_toy_dataset: MakeDataset, uri: str) -> None:
    """Movies in which every ninth clip is damaged in storage."""
    dataset = make_toy_dataset(uri, num_movies=4, clips_per_movie=18, shard_bytes=40_000)
    storage = Storage(uri)
    for shard in sorted(set(dataset.clips["shard"].to_pylist())):
        data = bytearray(storage.get(shard))
        for number, row in enumerate(clip_rows(dataset.clips)):
            if row.shard == shard and number % 9 == 4:
                data[row.tar_offset + 700] ^= 0xFF
        storage.put(shard, data)


def read(uri: str, num_processes: int, world_size: int) -> tuple[list[list[Batch]], Counter[str]]:
    """The parts of all ranks by step, and the counts."""
    dataset = open_dataset(uri)
    config = StreamConfig(
        frame_size=32,
        num_processes=num_processes,
        num_threads=1,
        max_bad_fraction=0.2,
        deadline_seconds=60.0,
    )
    streams = [
        ClipStream(dataset, POLICY, config, seed=5, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    try:
        parts = [[next(stream) for stream in streams] for _ in range(NUM_STEPS)]
        bad: Counter[str] = Counter()
        for stream in streams:
            bad.update(stream.stats().bad_clips)
    finally:
        for stream in streams:
            stream.close()
    return parts, bad


@pytest.mark.parametrize(("num_processes", "world_size"), [(0, 1), (1, 2)])
def test_batches_and_counts_are_those_of_a_healthy_disk(
    make_toy_dataset: MakeDataset,
    s3_bucket: str,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    num_processes: int,
    world_size: int,
) -> None:
    write_rotten(make_toy_dataset, str(tmp_path))
    expected, bad = read(str(tmp_path), 0, 1)
    assert set(bad) == {"checksum"}
    assert bad.total() >= 5
    write_rotten(make_toy_dataset, f"{s3_bucket}/corpus")
    with FaultProxy(s3_endpoint, rate=0.05, seed=1) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        begin = time.monotonic()
        found, found_bad = read(f"{s3_bucket}/corpus", num_processes, world_size)
        assert time.monotonic() - begin < 60
    assert {"truncate", "stall"} <= set(proxy.counts)
    assert found_bad == bad
    for ours, [whole] in zip(found, expected, strict=True):
        assert torch.equal(torch.cat([part.clip for part in ours]), whole.clip)
        assert torch.equal(torch.cat([part.frames for part in ours]), whole.frames)
        assert torch.equal(torch.cat([part.logmel for part in ours]), whole.logmel)
