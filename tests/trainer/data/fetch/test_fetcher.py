"""Reads under faults: retried, hedged, abandoned in time; the batches stay the same."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import StorageError
from shards_spec.schema.tables import clip_rows
from shards_spec.storage.storage import Storage
from tests.support.films.fetching import MakeFetcher, Scripted
from tests.support.films.streams import MakeDataset, write
from tests.support.stores.fault_proxy import FAULTS, FaultProxy
from trainer.data.fetch.counters import Counters, StreamStats
from trainer.data.fetch.fetcher import FIRST_HEDGES, Fetcher, TruncatedShardError
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.stream import ClipStream

pytestmark = pytest.mark.usefixtures("no_threads_left")

POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4, reads_per_movie=2)


def hashes(dataset: Dataset, config: StreamConfig, num: int) -> tuple[list[str], StreamStats]:
    """One hash for each of the first batches."""
    found = []
    with ClipStream(dataset, POLICY, config, seed=5) as stream:
        for _ in range(num):
            batch = next(stream)
            parts = (batch.clip, batch.frames, batch.logmel)
            found.append(hashlib.sha256(b"".join(p.numpy().tobytes() for p in parts)).hexdigest())
        stats = stream.stats()
    return found, stats


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


def test_the_share_of_hedges_is_bounded(make_fetcher: MakeFetcher, dataset: Dataset) -> None:
    shard = dataset.clips["shard"][0].as_py()
    storage = Scripted(dataset.storage.uri, dict.fromkeys(range(16, 200), 0.15))
    counters = Counters()
    fetcher = make_fetcher(storage, 60.0, counters, hedges=True)
    for _ in range(24):
        fetcher.read(shard, 0, 10)
    stats = counters.snapshot(0)
    assert 1 <= stats.num_hedges <= FIRST_HEDGES + 3
    storage.released.set()


def test_an_unresponsive_store_is_named(make_fetcher: MakeFetcher, dataset: Dataset) -> None:
    shard = dataset.clips["shard"][0].as_py()
    storage = Scripted(dataset.storage.uri, dict.fromkeys(range(100), 60.0))
    fetcher = make_fetcher(storage, 1.2, Counters(), hedges=True)
    begin = time.monotonic()
    with pytest.raises(
        StorageError, match=rf"{shard} .*no response \(bytes 512 to 1024, \d attempts"
    ):
        fetcher.read(shard, 512, 512)
    assert time.monotonic() - begin < 60  # a stall
    storage.released.set()


def test_a_stalled_read_does_not_delay_closing(make_fetcher: MakeFetcher, dataset: Dataset) -> None:
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
def test_a_truncated_shard_is_rejected_immediately(
    make_fetcher: MakeFetcher, dataset: Dataset, hedges: bool
) -> None:
    row = clip_rows(dataset.clips)[-1]
    path = dataset.storage.local_path(row.shard)
    path.write_bytes(path.read_bytes()[: row.tar_offset + 100])
    fetcher = make_fetcher(dataset.storage, 600.0, Counters(), hedges=hedges)
    with pytest.raises(TruncatedShardError, match=rf"{row.shard} has {row.tar_offset + 100} bytes"):
        fetcher.read(row.shard, row.tar_offset, row.tar_bytes)


@pytest.mark.slow
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


def test_an_interrupted_read_resumes_at_the_first_missing_byte(
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
    assert stats.bytes_reused == proxy.ranges[-1][1]
    assert stats.bytes_read == end


def test_a_hedged_read_keeps_bytes_received_before_the_interruption(
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
    assert counters.snapshot(0).bytes_reused > 0


def test_a_closed_fetcher_does_not_wait(dataset: Dataset) -> None:
    class Away(Storage):
        def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
            raise StorageError(f"no route to {key}")

    fetcher = Fetcher(Away(dataset.storage.uri), 600.0, Counters())
    fetcher.close()
    with pytest.raises(StorageError, match=r"no route to x \(bytes 0 to 1, 1 attempts"):
        fetcher.read("x", 0, 1)
