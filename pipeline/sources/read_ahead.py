"""A read-ahead cache of a remote movie: a few blocks of it, in memory.

Every block belongs to the object that the run began with: each answer of the store is checked
against its size and ETag. An interrupted read resumes at the first missing byte.

    blocks   | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | ...
    read       x   x   x                                  three in sequence
    ahead                  .   .   .                      as many are fetched ahead, at most six
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.limits import Limits
from pipeline.sources import identity
from pipeline.sources.fetch import arriving
from pipeline.sources.movie import Movie

#: Each position that ffmpeg reads costs a block or two; black bars alone are sampled at 32.
BLOCK_BYTES = 1 << 20
#: Enough for two alternating readers with their read-ahead, and the movie's header and index.
NUM_CACHED = 24
NUM_AHEAD = 6


@dataclass(frozen=True)
class _CachedBlock:
    future: Future[bytes]
    num_before: int
    """How many blocks directly before it had been read in sequence."""


class Blocks:
    """A movie's bytes, for several threads."""

    def __init__(self, movie: Movie, limits: Limits) -> None:
        self._movie = movie
        self._storage, _ = identity.store_and_key(movie)
        self._expected = identity.object_info(movie)
        self._limits = limits
        self._cached: OrderedDict[int, _CachedBlock] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(NUM_AHEAD + 1, thread_name_prefix="blocks")
        self._closed = threading.Event()
        self._num_waiting = 0
        self._wait_began = self._waited = 0.0
        self.fetched_bytes = 0

    @property
    def size(self) -> int:
        """Size of the movie, bytes."""
        return self._expected.size

    @property
    def waited_seconds(self) -> float:
        """How long any reader has waited for the store so far."""
        with self._lock:
            current = time.monotonic() - self._wait_began if self._num_waiting else 0.0
            return self._waited + current

    def read(self, start: int, end: int) -> memoryview:
        """Bytes from `start` up to `end` or the end of a block, whichever comes first.

        Raises:
            MovieError: the store cannot be read, or the object has changed.
            RuntimeError: the cache is closed.
        """
        number, offset = divmod(start, BLOCK_BYTES)
        return memoryview(self._block(number))[offset : offset + end - start]

    def close(self) -> None:
        """Stop fetching; waiting readers get an error."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _block(self, number: int) -> bytes:
        with self._lock:
            before = self._cached.get(number - 1)
            num_before = before.num_before + 1 if before else 0
            future = self._request(number, num_before)
            end = min(number + 1 + min(num_before, NUM_AHEAD), -(-self.size // BLOCK_BYTES))
            for ahead in range(number + 1, end):
                self._request(ahead, num_before + ahead - number)
            self._evict()
        with self._waiting(), identity.movie_errors(self._movie):
            return future.result()

    def _request(self, number: int, num_before: int) -> Future[bytes]:
        """A block that is cached, being fetched, or requested now."""
        block = self._cached.pop(number, None)
        if block is None or (block.future.done() and block.future.exception() is not None):
            block = _CachedBlock(self._pool.submit(self._fetch, number), num_before)
        self._cached[number] = _CachedBlock(block.future, max(block.num_before, num_before))
        return block.future

    def _evict(self) -> None:
        for number, block in list(self._cached.items()):
            if len(self._cached) <= NUM_CACHED:
                return
            if block.future.done():
                del self._cached[number]

    def _fetch(self, number: int) -> bytes:
        start = number * BLOCK_BYTES
        length = min(BLOCK_BYTES, self.size - start)
        data = bytearray()
        for piece in arriving(
            self._storage,
            self._expected,
            start,
            length,
            self._limits,
            is_cancelled=self._closed.wait,
        ):
            data += piece
            with self._lock:
                self.fetched_bytes += len(piece)
        return bytes(data)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        with self._lock:
            self._num_waiting += 1
            if self._num_waiting == 1:
                self._wait_began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._num_waiting -= 1
                if self._num_waiting == 0:
                    self._waited += time.monotonic() - self._wait_began
