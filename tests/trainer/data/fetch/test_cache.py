"""The clip cache: hits, size limit, damage, leftovers of killed processes, concurrent users."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import InputError
from shards_spec.storage.storage import Storage
from trainer.data.fetch.cache import DIGEST_BYTES, ClipCache, _name
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.fetch.counters import StreamStats
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.batch import Batch
from trainer.data.stream.stream import ClipStream

MakeDataset = Callable[..., Dataset]
#: Bytes of a clip; with the digest in front of them, its file has 100.
SIZE = 100 - DIGEST_BYTES
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)


def clip(number: int) -> ClipLocation:
    return ClipLocation(f"m_{number:06d}", "m", "m-00000.tar", 0, SIZE, number, 16, 16, 0, 0)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("??/*") if path.is_file())


def num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


def epoch(dataset: Dataset, config: StreamConfig) -> tuple[list[Batch], StreamStats]:
    with ClipStream(dataset, POLICY, config, seed=5) as stream:
        batches = [next(stream) for _ in range(2 * stream.num_steps_per_epoch)]
        return batches, stream.stats()


@pytest.fixture
def dataset(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    return make_toy_dataset(str(tmp_path / "data"), num_movies=4, clips_per_movie=8)


@pytest.fixture
def config(tmp_path: Path) -> StreamConfig:
    return StreamConfig(
        frame_size=32, num_processes=0, num_threads=2, cache_dir=str(tmp_path / "cache")
    )


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    for one, other in zip(left, right, strict=True):
        assert torch.equal(one.clip, other.clip)
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.logmel, other.logmel)


def test_a_second_epoch_and_a_second_job_read_nothing(
    dataset: Dataset, config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = epoch(dataset, dataclasses.replace(config, cache_dir="", prefetch_batches=1))
    first, stats = epoch(dataset, dataclasses.replace(config, prefetch_batches=1))
    assert_equal(plain, first)
    # The first clips of epoch 1 are looked up while the last clips of epoch 0 are read.
    assert stats.num_cache_hits >= 20

    def refuse(*_: object) -> bytes:
        raise AssertionError("all clips are in the cache")

    monkeypatch.setattr(Storage, "read_into", refuse)
    second, stats = epoch(dataset, config)
    assert_equal(plain, second)
    assert (stats.bytes_read, stats.num_requests) == (0, 0)
    assert stats.num_cache_hits >= 64


def test_damaged_clips_are_read_again(dataset: Dataset, config: StreamConfig) -> None:
    plain, _ = epoch(dataset, config)
    folder = Path(config.cache_dir)
    for path in files(folder)[::2]:
        path.write_bytes(b"x" * path.stat().st_size)
    files(folder)[1].write_bytes(b"")
    again, stats = epoch(dataset, config)
    assert_equal(plain, again)
    assert stats.bad_clips == {}
    assert stats.bytes_read >= 16 * min(dataset.clips["tar_bytes"].to_pylist())
    repaired, stats = epoch(dataset, config)
    assert_equal(plain, repaired)
    assert stats.num_requests == 0


def test_processes_share_a_cache(dataset: Dataset, config: StreamConfig) -> None:
    plain, _ = epoch(dataset, config)
    shared, stats = epoch(dataset, dataclasses.replace(config, num_processes=2))
    assert_equal(plain, shared)
    assert (stats.num_requests, stats.num_cache_hits >= 64) == (0, True)


def test_another_version_of_a_clip_is_another_entry(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path, 10_000)
    cache.put(clip(1), b"a" * SIZE)
    assert cache.get(clip(1)) == b"a" * SIZE
    assert cache.get(clip(1)._replace(crc32c=9)) is None
    assert cache.get(clip(1)._replace(clip_id="n_000001")) is None
    assert ClipCache(tmp_path, 10_000).get(clip(1)) == b"a" * SIZE
    cache.remove(clip(1))
    assert cache.get(clip(1)) is None


def test_the_least_recently_used_clips_are_removed_first(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path, 1000)
    for number in range(10):
        cache.put(clip(number), bytes(SIZE))
        assert num_bytes(tmp_path) <= 1000
    paths = {number: tmp_path.joinpath(*_name(clip(number))) for number in range(10)}
    for number, path in paths.items():
        os.utime(path, (1000 + number, 1000 + number))
    assert cache.get(clip(0)) is not None
    cache.put(clip(10), bytes(SIZE))
    assert num_bytes(tmp_path) <= 900
    assert cache.get(clip(0)) is not None, "it was used just now"
    assert cache.get(clip(1)) is None
    assert cache.get(clip(10)) is not None
    cache.put(clip(11), bytes(2000))
    assert cache.get(clip(11)) is None, "larger than the cache"


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path, 1000)
    cache.put(clip(0), bytes(SIZE))
    left = files(tmp_path)[0].with_name(".unfinished")
    left.write_bytes(bytes(50))
    (tmp_path / "size").write_text("no number")
    cache.put(clip(1), bytes(SIZE))
    assert not left.exists()
    assert int((tmp_path / "size").read_text()) == 200


def test_the_size_limit_holds_for_concurrent_writers(tmp_path: Path) -> None:
    largest = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            try:
                largest.append(num_bytes(tmp_path))
            except FileNotFoundError:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    caches = [ClipCache(tmp_path, 2000) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        for number in range(200):
            pool.submit(caches[number % 4].put, clip(number), bytes(SIZE))
    stop.set()
    watcher.join()
    assert max([*largest, num_bytes(tmp_path)]) <= 2000


def test_a_full_disk_does_not_stop_the_stream(
    dataset: Dataset,
    config: StreamConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain, _ = epoch(dataset, dataclasses.replace(config, cache_dir=""))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ClipCache, "_reserve", full)
    found, stats = epoch(open_dataset(dataset.storage.uri), config)
    assert_equal(plain, found)
    assert stats.num_cache_hits == 0
    [message] = [one.message for one in caplog.records if "No space left" in one.message]
    assert f"cannot write to the cache in {config.cache_dir}" in message
    with pytest.raises(InputError, match="cache_bytes"):
        StreamConfig(cache_bytes=-1)
