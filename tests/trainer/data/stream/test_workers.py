"""Loader workers: the same batches, clean shutdown after any crash, unnamed shared memory."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import ObjectNotFoundError
from shards_spec.schema.tables import clip_rows
from trainer.data.loader.batch_memory import BatchShape
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.worker_handle import LoaderDiedError
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.batch import Batch
from trainer.data.stream.shared_memory import SharedBufferPool
from trainer.data.stream.stream import ClipStream

MakeDataset = Callable[..., Dataset]
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
SHAPE = BatchShape(num_slots=3, num_frames=2, frame_size=16, n_mels=8, num_mel_frames=5)


def config(num_processes: int, **changes: object) -> StreamConfig:
    values = {"frame_size": 16, "num_threads": 2, "reads_in_flight": 3, **changes}
    return StreamConfig(num_processes=num_processes, **values)  # type: ignore[arg-type]


def write(make_toy_dataset: MakeDataset, uri: str) -> Dataset:
    sizes = (8, 21, 30, 12)
    return make_toy_dataset(uri, num_movies=4, clips_per_movie=sizes, shard_bytes=40_000)


@pytest.fixture(scope="module")
def dataset(make_toy_dataset: MakeDataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    return write(make_toy_dataset, str(tmp_path_factory.mktemp("processes")))


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    assert not [one.name for one in threading.enumerate() if "reelshards" in one.name]
    assert not children(os.getpid()), "every test ends its workers"


def children(pid: int) -> list[int]:
    """Process ids of the loader workers of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "stat").read_text()
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        if (
            int(status.rpartition(")")[2].split()[1]) == pid
            and "trainer.data.loader.worker" in command
        ):
            found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stream_of(dataset: Dataset, settings: StreamConfig) -> ClipStream:
    return ClipStream(dataset, POLICY, settings, seed=5)


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    for one, other in zip(left, right, strict=True):
        for name in ("clip", "group", "movie", "start_ns", "frames", "logmel"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("num_processes", [1, 3])
def test_workers_yield_the_batches_that_threads_yield(dataset: Dataset, num_processes: int) -> None:
    with stream_of(dataset, config(0)) as stream:
        expected = [next(stream) for _ in range(25)]
    with stream_of(dataset, config(num_processes, prefetch_batches=2)) as stream:
        # All batches are in use at once: their memory is not reused.
        found = [next(stream) for _ in range(25)]
        stats = stream.stats()
    assert_equal(expected, found)
    assert (stats.num_batches, stats.num_clips) == (25, 200)
    assert stats.num_requests >= 50
    assert stats.bytes_read > 200 * 1000
    assert stats.read_seconds > 0
    assert stats.decode_seconds > 0


def test_bad_clips_are_replaced_alike(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = write(make_toy_dataset, str(tmp_path))
    for row in clip_rows(dataset.clips)[10:13]:
        path = dataset.storage.local_path(row.shard)
        data = bytearray(path.read_bytes())
        data[row.tar_offset + 700] ^= 0xFF
        path.write_bytes(data)
    found = []
    for num_processes in (0, 2):
        with stream_of(dataset, config(num_processes)) as stream:
            found.append([next(stream) for _ in range(9)])
            assert stream.stats().bad_clips == {"checksum": stream.stats().bad_clips["checksum"]}
    assert_equal(*found)


def test_errors_reach_the_caller(make_toy_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = write(make_toy_dataset, str(tmp_path))
    shard = dataset.clips["shard"][30].as_py()
    dataset.storage.local_path(shard).unlink()
    with (
        stream_of(dataset, config(1)) as stream,
        pytest.raises(ObjectNotFoundError, match=rf"{shard}.*does not exist.*bytes \d+ to"),
    ):
        list(itertools.islice(stream, 50))


def test_a_killed_worker_is_named(dataset: Dataset) -> None:
    with stream_of(dataset, config(2)) as stream:
        next(stream)
        victim = children(os.getpid())[0]
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(LoaderDiedError, match=rf"{victim} was killed by SIGKILL.*memory"):
            list(itertools.islice(stream, 20))


def test_workers_ignore_signals(dataset: Dataset) -> None:
    with stream_of(dataset, config(1)) as stream:
        next(stream)
        for pid in children(os.getpid()):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        for _ in range(10):
            next(stream)


def test_ctrl_c_ends_the_workers(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(dataset, config(2))
    next(stream)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.data.stream.batch_filler.BatchFuture.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(stream)


def test_workers_end_when_the_trainer_is_killed(dataset: Dataset) -> None:
    code = (
        "import sys, time; from shards_spec.dataset.reader import open_dataset; "
        "from trainer.data.plan.policy import BatchPolicy; "
        "from trainer.data.loader import StreamConfig; from trainer.data.stream import ClipStream; "
        "data = open_dataset(sys.argv[1]); "
        "policy = BatchPolicy(movies_per_batch=2, clips_per_movie=4); "
        "config = StreamConfig(frame_size=16, num_processes=2); "
        "stream = ClipStream(data, policy, config, seed=0); next(stream); "
        "print('ready', flush=True); time.sleep(600)"
    )
    before = set(Path("/dev/shm").iterdir())
    command = [sys.executable, "-c", code, dataset.storage.uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "ready\n"
        loaders = children(trainer.pid)
        assert len(loaders) == 2
        trainer.kill()
    until = time.monotonic() + 20
    while any(map(is_alive, loaders)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_alive, loaders))
    assert set(Path("/dev/shm").iterdir()) <= before, "no named memory is left behind"


def test_memory_is_reused_after_its_last_reference_is_gone() -> None:
    pool = SharedBufferPool(SHAPE.num_bytes, 1, pin_memory=False)
    arrays = pool.take(SHAPE)
    first = arrays.buffer
    frames, logmel = torch.from_numpy(arrays.frames), torch.from_numpy(arrays.logmel)
    part = frames[1:, 0]
    del arrays, frames, logmel
    others = pool.take(SHAPE)
    assert others.buffer is not first, "a slice of the frames still refers to it"
    del part
    arrays = pool.take(SHAPE)
    assert arrays.buffer is first
    assert pool.take_dropped() == []
    del others, arrays
    assert pool.take_dropped() == [first.number], "one free buffer is kept, not two"


def test_arrays_do_not_overlap() -> None:
    arrays = SharedBufferPool(SHAPE.num_bytes, 1, pin_memory=False).take(SHAPE)
    arrays.logmel[:] = 7
    arrays.frames[:] = 1
    assert (arrays.logmel == 7).all()
    assert np.shares_memory(arrays.frames, arrays.frames[2:])
    assert arrays.frames.nbytes + arrays.logmel.nbytes == SHAPE.num_bytes


@pytest.mark.gpu
def test_shared_memory_is_pinned(dataset: Dataset) -> None:
    with stream_of(dataset, config(0)) as stream:
        expected = [next(stream) for _ in range(20)]
    with stream_of(dataset, config(2, pin_memory=True, prefetch_batches=2)) as stream:
        found = []
        for _ in range(20):
            batch = next(stream)
            assert batch.frames.is_pinned()
            found.append((batch.frames.to("cuda", non_blocking=True), batch.logmel.to("cuda")))
    for one, (frames, logmel) in zip(expected, found, strict=True):
        assert torch.equal(one.frames, frames.cpu())
        assert torch.equal(one.logmel, logmel.cpu())


@pytest.mark.gpu
def test_pinned_memory_is_not_reused_while_a_copy_of_it_is_queued() -> None:
    pool = SharedBufferPool(SHAPE.num_bytes, 2, pin_memory=True)
    arrays = pool.take(SHAPE)
    arrays.frames[:] = 7
    # The copy runs only after this work in the device's queue.
    torch.cuda._sleep(500_000_000)
    copied = torch.from_numpy(arrays.frames).to("cuda", non_blocking=True)
    number = arrays.buffer.number
    del arrays
    other = pool.take(SHAPE)
    assert other.buffer.number != number
    other.frames[:] = 9
    torch.cuda.synchronize()
    assert bool((copied == 7).all())
    assert pool.take(SHAPE).buffer.number == number
