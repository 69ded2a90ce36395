"""Limits of the stream's memory and of its log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.schema.tables import clip_rows
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream import bad_clips
from trainer.data.stream.shared_memory import SharedBufferPool, _PooledBuffer
from trainer.data.stream.stream import ClipStream

POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)

#: Longer than reading one more batch takes, seconds.
A_WHILE = 0.5


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    return make_toy_dataset(str(tmp_path), num_movies=4, clips_per_movie=24)


def stream_of(dataset: Dataset, config: StreamConfig) -> ClipStream:
    return ClipStream(dataset, POLICY, config, seed=5)


@pytest.mark.parametrize(("num_batches", "ahead"), [(0.0, 1), (2.9, 2), (100.0, 5)])
@pytest.mark.parametrize("num_processes", [0, 1])
def test_batches_ahead_are_bounded_in_bytes(
    dataset: Dataset, num_batches: float, ahead: int, num_processes: int
) -> None:
    batch_bytes = 8 * (4 * 32 * 32 * 3 + 2 * 16 * dataset.recipe.num_mel_frames)
    config = StreamConfig(
        frame_size=32,
        num_processes=num_processes,
        num_threads=1,
        prefetch_batches=5,
        max_gap_bytes=0,
        prefetch_bytes=int(num_batches * batch_bytes),
    )
    with stream_of(dataset, config) as stream:
        next(stream)
        until = time.monotonic() + 20
        while stream.stats().queue_depth < ahead and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(A_WHILE)
        stats = stream.stats()
    assert stats.queue_depth == ahead
    read = stats.bytes_read / dataset.clips["tar_bytes"][0].as_py() / 8
    assert read == pytest.approx(1 + ahead, rel=0.1), "nothing more was read either"


@pytest.mark.parametrize("num_processes", [0, 1])
def test_a_loop_runs_in_the_memory_of_its_prefetched_batches(
    dataset: Dataset, num_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle threads must not keep the memory of the batch that they filled last."""
    created, original = [], SharedBufferPool._create

    def create(pool: SharedBufferPool, number: int) -> _PooledBuffer:
        created.append(number)
        return original(pool, number)

    monkeypatch.setattr(SharedBufferPool, "_create", create)
    config = StreamConfig(
        frame_size=32,
        num_processes=num_processes,
        num_threads=4,
        reads_in_flight=12,
        prefetch_batches=2,
    )
    with stream_of(dataset, config) as stream:
        for _ in range(40):
            batch = next(stream)
            # All are ready before the next one is requested, as in a slow loop.
            while stream.stats().queue_depth < 2:
                time.sleep(0.001)
    assert batch is not None
    # Two prefetched, one in use by the loop, and one started meanwhile.
    assert len(created) <= 4


def test_the_first_bad_clip_is_logged_and_then_one_in_many(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert bad_clips.LOG_EVERY == 1000
    monkeypatch.setattr(bad_clips, "LOG_EVERY", 4)
    for row in clip_rows(dataset.clips)[::3]:
        path = dataset.storage.local_path(row.shard)
        data = bytearray(path.read_bytes())
        data[row.tar_offset + row.tar_bytes // 2] ^= 0xFF
        path.write_bytes(data)
    config = StreamConfig(frame_size=32, num_processes=0, num_threads=1, max_bad_fraction=1.0)
    with (
        caplog.at_level(logging.WARNING, "trainer.data.stream.bad_clips"),
        stream_of(dataset, config) as stream,
    ):
        for _ in range(6):
            next(stream)
        num_bad = sum(stream.stats().bad_clips.values())
    assert num_bad >= 9
    logged = [record.message.split(" (checksum): ")[0] for record in caplog.records]
    assert logged == [f"bad clip {number}" for number in range(1, num_bad + 1, 4)]
