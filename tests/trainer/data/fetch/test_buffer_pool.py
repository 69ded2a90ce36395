"""Read buffers: reused only after they were returned, and by one user at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.storage.storage import Storage
from tests.support.films.fetching import MakeFetcher, Scripted
from tests.support.films.streams import MakeDataset, write
from trainer.data.fetch.buffer_pool import BufferPool
from trainer.data.fetch.counters import Counters

pytestmark = pytest.mark.usefixtures("no_threads_left")


@pytest.fixture
def dataset(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    return write(make_toy_dataset, str(tmp_path / "data"))


def test_memory_is_reused_only_after_it_was_returned(
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


def test_an_abandoned_request_writes_only_its_own_memory(
    make_fetcher: MakeFetcher, dataset: Dataset
) -> None:
    """A request slower than its hedge keeps writing, but only into its own buffer."""
    shard = dataset.clips["shard"][0].as_py()
    storage = Scripted(dataset.storage.uri, {20: 60.0})
    fetcher = make_fetcher(storage, 60.0, Counters(), hedges=True)
    for number in range(20):
        fetcher.read(shard, number, 500).give_back()
    raced = fetcher.read(shard, 20, 500)
    later = fetcher.read(shard, 900, 500)
    storage.released.set()
    storage.wait_until_idle()
    expected = bytes(dataset.storage.get_range(shard, 0, 1400))
    assert bytes(raced.data) == expected[20:520]
    assert bytes(later.data) == expected[900:]


def test_an_abandoned_request_stops_downloading(
    make_fetcher: MakeFetcher, dataset: Dataset
) -> None:
    shard = dataset.clips["shard"][0].as_py()
    go_on, ended = threading.Event(), threading.Event()

    class Slow(Storage):
        """The first read of byte 20 stalls after each byte; its hedge does not."""

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
    pool = BufferPool(max_free_bytes=3000)
    taken = [pool.take(1000) for _ in range(4)]
    assert all(buffer.size == 1024 for buffer in taken)
    for buffer in taken:
        pool.give_back(buffer)
    again = [pool.take(1024) for _ in range(4)]
    kept = [any(new is old for old in taken) for new in again]
    assert kept == [True, True, False, False]
