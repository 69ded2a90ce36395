"""Reads from a store that answers with scripted delays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from shards_spec.storage.storage import Storage
from trainer.data.fetch.fetcher import Fetcher

MakeFetcher = Callable[..., Fetcher]


class Scripted(Storage):
    """Answers shard reads after delays: `delays[n]` seconds for read n, none for later reads."""

    def __init__(self, uri: str, delays: dict[int, float]) -> None:
        super().__init__(uri)
        self.delays, self.num_reads, self.num_ended = delays, 0, 0
        self.lock, self.released = threading.Lock(), threading.Event()

    def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
        with self.lock:
            number = self.num_reads
            self.num_reads += 1
        self.released.wait(self.delays.get(number, 0.0))
        try:
            yield from super().read_into(key, start, target)
        finally:
            with self.lock:
                self.num_ended += 1

    def wait_until_idle(self) -> None:
        """Wait until all reads have ended, abandoned ones too."""
        deadline = time.monotonic() + 60
        while self.num_ended < self.num_reads:
            assert time.monotonic() < deadline
            time.sleep(0.001)
