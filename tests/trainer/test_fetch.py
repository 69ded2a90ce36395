"""Reads under faults: repeated, hedged, given up in time; the same batches whatever happens."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_proxy import FAULTS, FaultProxy

from shards_spec.errors import StorageError
from shards_spec.reader import Dataset, open_dataset
from shards_spec.schema import clip_rows
from shards_spec.storage import Storage
from trainer.clip_index import ClipIndex
from trainer.fetch import FIRST_HEDGES, Fetcher, TruncatedShardError
from trainer.policy import BatchPolicy
from trainer.read_buffers import ReadBuffers
from trainer.stream import ClipStream, StreamConfig
from trainer.stream_config import Counters, StreamStats

MakeDataset = Callable[..., Dataset]
MakeFetcher = Callable[..., Fetcher]
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4, reads_per_movie=2)


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    time.sleep(0.02)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "reelshards" in name and "request" not in name]


@pytest.fixture
def make_fetcher() -> Iterator[MakeFetcher]:
    """Makes fetchers that end with the test."""
    made = []

    def make(*arguments: Any, **settings: Any) -> Fetcher:
        made.append(Fetcher(*arguments, **settings))
        return made[-1]

    yield make
    for fetcher in made:
        fetcher.close()


def write(make_toy_dataset: MakeDataset, uri: str) -> Dataset:
    sizes = (8, 21, 30, 12)
    return make_toy_dataset(uri, num_movies=4, clips_per_movie=sizes, shard_bytes=40_000)


def hashes(dataset: Dataset, config: StreamConfig, num: int) -> tuple[list[str], StreamStats]:
    """A hash of each of the first batches."""
    index = ClipIndex.from_dataset(dataset, POLICY)
    found = []
    with ClipStream(dataset, index, POLICY, config, seed=5) as stream:
        for _ in range(num):
            batch = next(stream)
            parts = (batch.clip, batch.frames, batch.logmel)
            found.append(hashlib.sha256(b"".join(p.numpy().tobytes() for p in parts)).hexdigest())
        stats = stream.stats()
    return found, stats


class Scripted(Storage):
    """Answers shard reads after delays: `delays[n]` seconds for the n-th, then at once."""

    def __init__(self, uri: str, delays: dict[int, float]) -> None:
        super().__init__(uri)
        self.delays, self.num_reads = delays, 0
        self.lock, self.released = threading.Lock(), threading.Event()

    def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
        with self.lock:
            number = self.num_reads
            self.num_reads += 1
        self.released.wait(self.delays.get(number, 0.0))
        yield from super().read_into(key, start, target)


@pytest.fixture
def dataset(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    return write(make_toy_dataset, str(tmp_path / "data"))


def test_a_slow_request_gets_a_second_one(make_fetcher: MakeFetcher, dataset: Dataset) -> None:
    shard = dataset.clips["shard"][0].as_py()
    storage, counters = Scripted(dataset.storage.uri, {20: 30.0}), Counters()
    fetcher = make_fetcher(storage, 60.0, counters, hedges=True)
    begin = time.monotonic()
    for number in range(30):
        expected = dataset.storage.get_range(shard, number, 100)
        assert bytes(fetcher.read(shard, number, 100).data) == expected
    assert time.monotonic() - begin < 30  # the stall
    stats = counters.snapshot(0)
    assert (stats.num_hedges, stats.num_requests, stats.num_retries) == (1, 31, 0)
    storage.released.set()


def test_hedges_are_a_bounded_share(make_fetcher: MakeFetcher, dataset: Dataset) -> None:
    shard = dataset.clips["shard"][0].as_py()
    storage = Scripted(dataset.storage.uri, dict.fromkeys(range(16, 200), 0.15))
    counters = Counters()
    fetcher = make_fetcher(storage, 60.0, counters, hedges=True)
    for _ in range(24):
        fetcher.read(shard, 0, 10)
    stats = counters.snapshot(0)
    assert 1 <= stats.num_hedges <= FIRST_HEDGES + 3
    storage.released.set()


def test_a_store_that_says_nothing_is_given_up_by_name(
    make_fetcher: MakeFetcher, dataset: Dataset
) -> None:
    shard = dataset.clips["shard"][0].as_py()
    storage = Scripted(dataset.storage.uri, dict.fromkeys(range(100), 60.0))
    fetcher = make_fetcher(storage, 1.2, Counters(), hedges=True)
    begin = time.monotonic()
    with pytest.raises(StorageError, match=rf"{shard} .*silent \(bytes 512 to 1024, \d tries"):
        fetcher.read(shard, 512, 512)
    assert time.monotonic() - begin < 60  # a stall
    storage.released.set()


def test_a_stalled_read_does_not_hold_up_the_end(
    make_fetcher: MakeFetcher, dataset: Dataset
) -> None:
    shard = dataset.clips["shard"][0].as_py()
    storage = Scripted(dataset.storage.uri, dict.fromkeys(range(100), 60.0))
    fetcher = make_fetcher(storage, 600.0, Counters(), hedges=True)
    threading.Timer(0.2, fetcher.close).start()
    begin = time.monotonic()
    with pytest.raises(StorageError, match="the stream was closed"):
        fetcher.read(shard, 0, 512)
    assert time.monotonic() - begin < 60  # a stall
    storage.released.set()


@pytest.mark.parametrize("hedges", [False, True])
def test_a_truncated_shard_is_refused_at_once(
    make_fetcher: MakeFetcher, dataset: Dataset, hedges: bool
) -> None:
    row = clip_rows(dataset.clips)[-1]
    path = dataset.storage.local_path(row.shard)
    path.write_bytes(path.read_bytes()[: row.tar_offset + 100])
    fetcher = make_fetcher(dataset.storage, 600.0, Counters(), hedges=hedges)
    with pytest.raises(TruncatedShardError, match=rf"{row.shard} has {row.tar_offset + 100} bytes"):
        fetcher.read(row.shard, row.tar_offset, row.tar_bytes)


@pytest.mark.parametrize("num_processes", [0, 2])
def test_batches_are_the_same_under_faults(
    make_toy_dataset: MakeDataset,
    s3_bucket: str,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    num_processes: int,
) -> None:
    uri = f"{s3_bucket}/corpus"
    config = StreamConfig(frame_size=32, num_processes=num_processes, deadline_seconds=60.0)
    expected, _ = hashes(write(make_toy_dataset, uri), config, 12)
    with FaultProxy(s3_endpoint, rate=0.2, seed=3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        begin = time.monotonic()
        found, stats = hashes(open_dataset(uri), config, 12)
        spent = time.monotonic() - begin
    assert found == expected
    assert proxy.num_faults >= 5
    assert set(proxy.counts) <= {"ok", *FAULTS}
    assert spent < 60
    assert stats.num_requests >= 40
    assert stats.bad_clips == {}


def test_a_cut_read_goes_on_at_the_byte_that_is_missing(
    make_fetcher: MakeFetcher,
    make_toy_dataset: MakeDataset,
    s3_bucket: str,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = write(make_toy_dataset, f"{s3_bucket}/corpus")
    row = max(clip_rows(dataset.clips), key=lambda row: row.tar_offset)
    end = row.tar_offset + row.tar_bytes
    expected = dataset.storage.get_range(row.shard, 0, end)
    with FaultProxy(s3_endpoint, rate=0.6, seed=7, faults=["truncate"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        counters = Counters()
        storage = Storage(dataset.storage.uri, max_retries=0)
        found = make_fetcher(storage, 60.0, counters, hedges=False).read(row.shard, 0, end)
    assert bytes(found.data) == expected
    place = 0
    for kind, start, stop in proxy.ranges:
        assert (start, stop) == (place, end), "no byte is asked for twice"
        place += (stop - start) // 2 if kind == "truncate" else stop - start
    stats = counters.snapshot(0)
    assert proxy.num_faults >= 2
    assert (stats.num_requests, stats.num_retries) == (len(proxy.ranges), proxy.num_faults)
    assert stats.bytes_kept == proxy.ranges[-1][1]
    assert stats.bytes_read == end


def test_a_hedged_read_keeps_what_came_before_the_cut(
    make_fetcher: MakeFetcher,
    make_toy_dataset: MakeDataset,
    s3_bucket: str,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = write(make_toy_dataset, f"{s3_bucket}/corpus")
    row = clip_rows(dataset.clips)[0]
    expected = dataset.storage.get_range(row.shard, row.tar_offset, row.tar_bytes)
    with FaultProxy(s3_endpoint, rate=0.5, seed=1) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.stall_seconds = 0.5
        counters = Counters()
        fetcher = make_fetcher(Storage(dataset.storage.uri, max_retries=0), 60.0, counters)
        for _ in range(12):
            found = fetcher.read(row.shard, row.tar_offset, row.tar_bytes)
            assert bytes(found.data) == expected
    assert counters.snapshot(0).num_retries >= 2
    assert counters.snapshot(0).bytes_kept > 0


def test_memory_is_used_again_only_when_it_was_given_back(
    make_fetcher: MakeFetcher, dataset: Dataset
) -> None:
    shard = dataset.clips["shard"][0].as_py()
    fetcher = make_fetcher(dataset.storage, 60.0, Counters())
    expected = bytes(dataset.storage.get_range(shard, 0, 2000))
    first, second = fetcher.read(shard, 0, 1000), fetcher.read(shard, 1000, 1000)
    assert bytes(first.data) + bytes(second.data) == expected
    first.give_back()
    third = fetcher.read(shard, 500, 900)
    assert np.shares_memory(third.data, first.data)
    assert bytes(third.data) == expected[500:1400]
    assert bytes(second.data) == expected[1000:]


def test_the_loser_of_a_race_writes_nobody_elses_memory(
    make_fetcher: MakeFetcher, dataset: Dataset
) -> None:
    """A request that was overtaken by its hedge goes on writing into its own buffer."""
    shard = dataset.clips["shard"][0].as_py()
    storage = Scripted(dataset.storage.uri, {20: 60.0})
    fetcher = make_fetcher(storage, 60.0, Counters(), hedges=True)
    for number in range(20):
        fetcher.read(shard, number, 500).give_back()
    raced = fetcher.read(shard, 20, 500)
    later = fetcher.read(shard, 900, 500)
    storage.released.set()
    time.sleep(0.05)
    expected = bytes(dataset.storage.get_range(shard, 0, 1400))
    assert bytes(raced.data) == expected[20:520]
    assert bytes(later.data) == expected[900:]


def test_the_loser_of_a_race_downloads_no_more(make_fetcher: MakeFetcher, dataset: Dataset) -> None:
    shard = dataset.clips["shard"][0].as_py()
    go_on, ended = threading.Event(), threading.Event()

    class Slow(Storage):
        """The read of byte 20 stalls after each byte, but for its hedge."""

        num_slow = num_pieces = 0

        def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
            self.num_slow += start == 20
            if start != 20 or self.num_slow > 1:
                yield from super().read_into(key, start, target)
                return
            try:
                for number in range(len(target)):
                    self.num_pieces += 1
                    yield number + 1
                    go_on.wait(30.0)
            finally:
                ended.set()

    storage = Slow(dataset.storage.uri)
    fetcher = make_fetcher(storage, 60.0, Counters(), hedges=True)
    for _ in range(20):
        fetcher.read(shard, 0, 500)
    fetcher.read(shard, 20, 500)
    go_on.set()
    assert ended.wait(10.0)
    assert storage.num_pieces == 2


def test_free_memory_is_bounded() -> None:
    pool = ReadBuffers(max_free_bytes=3000)
    taken = [pool.take(1000) for _ in range(4)]
    assert all(buffer.size == 1024 for buffer in taken)
    for buffer in taken:
        pool.give_back(buffer)
    again = [pool.take(1024) for _ in range(4)]
    kept = [any(new is old for old in taken) for new in again]
    assert kept == [True, True, False, False]
