"""Ranged reads that survive transient failures and slow requests.

- A failed request is retried after a growing, randomized pause until the deadline; it resumes at
  the first byte that has not arrived.
- A request that takes much longer than usual gets a second, concurrent request (a *hedge*); the
  first answer wins. Hedges are a small share of all requests, so they do not slow a slow store.
- A shard that ends before the requested bytes is distinguished from a short read and fails at once:
  retrying would not make it longer.
- Remote requests run in threads of their own, which are abandoned when their answer is no longer
  needed: one that hangs in the network delays neither the deadline nor the end of the stream.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TypeVar

import numpy as np

from shards_spec.errors import ObjectNotFoundError, StorageError, UnsafeFileError
from shards_spec.storage import Storage
from trainer.data.fetch.buffer_pool import BufferPool, Bytes, RangeBytes
from trainer.data.fetch.counters import Counters
from trainer.data.fetch.threads import ElasticPool

#: First and longest pause before a retry, seconds.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

#: A request and its hedge are abandoned after this share of the deadline, and retried.
REQUEST_SHARE = 0.25

#: A hedge is sent after this multiple of the 95th percentile of request times, within bounds.
HEDGE_FACTOR = 2.0
HEDGE_BOUNDS_SECONDS = (0.05, 10.0)
#: The delay of hedges until enough requests have been timed.
HEDGE_FIRST_SECONDS = 1.0
NUM_TIMED, MIN_TIMED = 128, 16

#: Number of hedges allowed at the start, and their share of requests after that.
FIRST_HEDGES = 4
HEDGE_SHARE = 0.05

#: How often a waiting read checks whether the stream was closed, seconds.
_POLL_SECONDS = 0.2

_T = TypeVar("_T")


class TruncatedShardError(StorageError):
    """A shard is shorter than the index says; retrying does not help."""


class Fetcher:
    """Reads byte ranges of a storage's objects; thread-safe."""

    def __init__(
        self,
        storage: Storage,
        deadline_seconds: float,
        counters: Counters,
        *,
        hedges: bool | None = None,
    ) -> None:
        self._storage = storage
        self._deadline_seconds = deadline_seconds
        self._counters = counters
        self._hedges = not storage.is_local if hedges is None else hedges
        self._pace = _Pace()
        self._buffers = BufferPool()
        self._threads = ElasticPool("reelshards-request")
        self._closing = threading.Event()

    def close(self) -> None:
        """Make reads in progress raise `StorageError`."""
        self._closing.set()
        self._threads.close()

    def read(self, shard: str, start: int, length: int) -> RangeBytes:
        """Bytes [start, start + length) of a shard.

        Raises `StorageError` (or a subclass) that names shard and offset: at once when there is no
        such shard, it is too short or not a regular file; after the deadline when requests keep
        failing.
        """
        begin = time.monotonic()
        pause, num_attempts = FIRST_PAUSE_SECONDS, 1
        received = np.empty(0, dtype=np.uint8)
        while True:
            downloads: list[_Download] = []
            try:
                buffer = self._request(shard, start, length, received, downloads)
            except StorageError as error:
                spent = time.monotonic() - begin
                if num_attempts == 1:
                    self._refuse_truncated(shard, start + length, error)
                if self._is_final(error) or spent + pause > self._deadline_seconds:
                    raise type(error)(
                        f"{error} (bytes {start} to {start + length}, "
                        f"{num_attempts} attempts in {spent:.1f} s)"
                    ) from error
                num_before = len(received)
                received = max((one.received for one in downloads), key=len, default=received)
                self._counters.add(bytes_reused=len(received) - num_before)
                # Random, so that ranks that fail together do not retry together; no result depends
                # on it.
                self._closing.wait(pause * random.uniform(0.5, 1.0))
            else:
                self._counters.add(bytes_read=length)
                return RangeBytes(buffer, length, self._buffers)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            num_attempts += 1
            self._counters.add(num_retries=1)

    def _request(
        self, shard: str, start: int, length: int, received: Bytes, downloads: list[_Download]
    ) -> Bytes:
        """A buffer with the range; every download that was started for it is added to `downloads`.

        Each download has its own buffer: an abandoned one may still be writing long after its read
        has returned, so such a buffer does not return to the pool.
        """

        def request() -> Bytes:
            self._counters.add(num_requests=1)
            downloads.append(download := _Download(self._buffers.take(length), received))
            begin = time.monotonic()
            download.run(self._storage, shard, start, length)
            self._pace.note(time.monotonic() - begin)
            return download.buffer

        try:
            return self._first_answer(request, shard) if self._hedges else request()
        finally:
            for download in downloads:
                download.is_needed = False

    def _refuse_truncated(self, shard: str, end: int, cause: StorageError) -> None:
        """Raise `TruncatedShardError` when the shard ends before `end`."""
        if self._is_final(cause):
            return

        def request() -> int:
            return self._storage.head(shard).size

        try:
            size = self._first_answer(request, shard) if self._hedges else request()
        except StorageError:
            # The store is not reachable at all: the read is retried.
            return
        if size < end:
            raise TruncatedShardError(
                f"{self._storage.uri_of(shard)} has {size} bytes, but the index lists clips up "
                f"to byte {end}: it is truncated, or it does not belong to this index; check with: "
                f"python -m shards_spec validate {self._storage.uri}"
            ) from cause

    def _first_answer(self, request: Callable[[], _T], shard: str) -> _T:
        """The answer to a request or its hedge. Raises `StorageError`."""
        begin = time.monotonic()
        abandon_at = begin + max(1.0, REQUEST_SHARE * self._deadline_seconds)
        hedge_at = begin + self._pace.hedge_seconds()
        pending = {self._threads.run(request)}
        while True:
            now = time.monotonic()
            until = min(abandon_at, hedge_at, now + _POLL_SECONDS)
            done, pending = wait(pending, max(0.0, until - now), FIRST_COMPLETED)
            failures = [answer.exception() for answer in done]
            for answer, failure in zip(done, failures, strict=True):
                if failure is None:
                    return answer.result()
            now = time.monotonic()
            if failures and not pending and failures[0] is not None:
                raise failures[0]
            if self._closing.is_set() or now >= abandon_at:
                what = "the stream was closed" if self._closing.is_set() else "no response"
                raise StorageError(
                    f"no answer for {self._storage.uri_of(shard)} in {now - begin:.1f} s: {what}"
                )
            if now >= hedge_at:
                hedge_at = abandon_at
                if self._pace.may_hedge():
                    self._counters.add(num_hedges=1)
                    pending.add(self._threads.run(request))

    def _is_final(self, error: StorageError) -> bool:
        hopeless = (ObjectNotFoundError, UnsafeFileError)
        return self._closing.is_set() or isinstance(error, hopeless)


class _Download:
    """A range as it arrives."""

    def __init__(self, buffer: Bytes, received: Bytes) -> None:
        """Start with the bytes that an earlier attempt has received."""
        self.buffer = buffer
        self.is_needed = True
        """Once False, the download stops after the current piece."""
        self._num_received = len(received)
        buffer[: len(received)] = received

    @property
    def received(self) -> Bytes:
        """The first bytes of the range, as far as they have arrived; they no longer change."""
        return self.buffer[: self._num_received]

    def run(self, storage: Storage, shard: str, start: int, length: int) -> None:
        """Receive the rest of bytes [start, start + length). Raises `StorageError`."""
        first = self._num_received
        target = self.buffer.data[first:length]
        for num_more in storage.read_into(shard, start + first, target):
            self._num_received = first + num_more
            if not self.is_needed:
                return


class _Pace:
    """How long requests take, and how many hedges that allows."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=NUM_TIMED)
        self._num_timed = self._num_hedges = 0
        self._lock = threading.Lock()

    def note(self, seconds: float) -> None:
        """Record how long a request took."""
        with self._lock:
            self._seconds.append(seconds)
            self._num_timed += 1

    def hedge_seconds(self) -> float:
        """Delay before a hedge, seconds."""
        with self._lock:
            if len(self._seconds) < MIN_TIMED:
                return HEDGE_FIRST_SECONDS
            usual = sorted(self._seconds)[int(0.95 * len(self._seconds))]
        low, high = HEDGE_BOUNDS_SECONDS
        return min(max(HEDGE_FACTOR * usual, low), high)

    def may_hedge(self) -> bool:
        """Whether another hedge is allowed; if so, it is counted."""
        with self._lock:
            is_allowed = self._num_hedges < FIRST_HEDGES + HEDGE_SHARE * self._num_timed
            self._num_hedges += is_allowed
            return is_allowed
