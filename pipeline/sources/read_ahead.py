"""A remote movie in blocks: a few of them in memory, some fetched ahead of a reader that goes on.

Every block is of the object that the run began with: each answer of the store is held against its
size and ETag. What breaks off goes on at the first byte that is missing.

    blocks   | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | ...
    read       x   x   x                                  one after the other: a run of three
    ahead                  .   .   .                      so many are fetched ahead, six at most
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
from pipeline.sources.movie import Movie
from shards_spec.errors import (
    AccessDeniedError,
    ObjectChangedError,
    ObjectNotFoundError,
    StorageError,
)
from shards_spec.storage import ObjectInfo

#: Each place that ffmpeg looks at costs a block or two: bars alone are looked for in 32 of them.
BLOCK_BYTES = 1 << 20
#: Two readers that alternate, each with what is ahead of it, and the movie's head and index.
NUM_HELD = 24
NUM_AHEAD = 6

#: Tries that give not one more byte, each with the store's own retries.
_MAX_TRIES = 3
_RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class _Held:
    future: Future[bytes]
    num_before: int
    """How many blocks right before it were read before it."""


class Blocks:
    """Gives a movie's blocks by their number, to several threads."""

    def __init__(self, movie: Movie, limits: Limits) -> None:
        self._movie = movie
        self._storage, key = identity.store_and_key(movie)
        self._expected = ObjectInfo(key, movie.num_bytes, movie.etag)
        self._patience_seconds = limits.no_progress_seconds
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(NUM_AHEAD + 1, thread_name_prefix="blocks")
        self._closed = threading.Event()
        self._num_waiting = 0
        self._wait_began = self._waited = 0.0
        self.fetched_bytes = 0

    @property
    def size(self) -> int:
        """Of the movie, bytes."""
        return self._expected.size

    @property
    def waited_seconds(self) -> float:
        """How long anyone waited for the store, until now."""
        with self._lock:
            going_on = time.monotonic() - self._wait_began if self._num_waiting else 0.0
            return self._waited + going_on

    def read(self, start: int, end: int) -> memoryview:
        """Bytes from `start` on, up to `end` or the end of a block.

        Raises:
            MovieError: the store does not give them, or has another object by now.
            RuntimeError: these blocks are closed.
        """
        number, offset = divmod(start, BLOCK_BYTES)
        return memoryview(self._block(number))[offset : offset + end - start]

    def close(self) -> None:
        """Fetch nothing more; whoever waits gets an error."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _block(self, number: int) -> bytes:
        with self._lock:
            before = self._held.get(number - 1)
            num_before = before.num_before + 1 if before else 0
            future = self._wanted(number, num_before)
            end = min(number + 1 + min(num_before, NUM_AHEAD), -(-self.size // BLOCK_BYTES))
            for ahead in range(number + 1, end):
                self._wanted(ahead, num_before + ahead - number)
            self._forget_oldest()
        with self._waiting(), identity.movie_errors(self._movie):
            return future.result()

    def _wanted(self, number: int, num_before: int) -> Future[bytes]:
        """A block that is there, on its way, or is fetched from now on."""
        held = self._held.pop(number, None)
        if held is None or (held.future.done() and held.future.exception() is not None):
            held = _Held(self._pool.submit(self._fetch, number), num_before)
        self._held[number] = _Held(held.future, max(held.num_before, num_before))
        return held.future

    def _forget_oldest(self) -> None:
        for number, held in list(self._held.items()):
            if len(self._held) <= NUM_HELD:
                return
            if held.future.done():
                del self._held[number]

    def _fetch(self, number: int) -> bytes:
        start = number * BLOCK_BYTES
        length = min(BLOCK_BYTES, self.size - start)
        data = bytearray()
        tries, last_byte = 0, time.monotonic()
        while True:
            try:
                for piece in self._storage.stream_range(
                    self._expected.key,
                    start + len(data),
                    length - len(data),
                    expected=self._expected,
                ):
                    data += piece
                    tries, last_byte = 0, time.monotonic()
                    with self._lock:
                        self.fetched_bytes += len(piece)
                return bytes(data)
            except (AccessDeniedError, ObjectChangedError, ObjectNotFoundError):
                raise
            except StorageError:
                tries += 1
                is_late = time.monotonic() - last_byte > self._patience_seconds
                if tries >= _MAX_TRIES or is_late or self._closed.wait(_RETRY_SECONDS * tries):
                    raise

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
