"""Ranged reads that survive bad moments, and that nothing waits for longer than it must.

- A request that fails is repeated after a pause that grows and is random, until the deadline; it
  goes on at the first byte that has not arrived.
- A request that takes much longer than most did gets a second one beside it (a *hedge*); the first
  answer wins. Hedges are at most a small share of all requests, so a slow store is not made slower.
- A shard that ends before the wanted bytes is told apart from a read that fell short, and ends the
  read at once: asking again would not make it longer.
- Remote requests run in threads of their own, which nobody waits for once they are not wanted: one
  that hangs in the network holds up neither the deadline nor the end of the stream.
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

from shards_spec.errors import ObjectNotFoundError, StorageError
from shards_spec.storage import Storage
from trainer.fetch.buffer_pool import Bytes, ReadBuffers, ReadBytes
from trainer.fetch.counters import Counters
from trainer.fetch.threads import SpareThreads

#: First and longest wait before a read is repeated, seconds.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

#: A request and its hedge are given up after this share of the deadline, and made anew.
REQUEST_SHARE = 0.25

#: A hedge is sent after so many times the time that 95 % of the last requests took, within bounds.
HEDGE_FACTOR = 2.0
HEDGE_BOUNDS_SECONDS = (0.05, 10.0)
#: And after this long while few requests have been answered.
HEDGE_FIRST_SECONDS = 1.0
NUM_TIMED, MIN_TIMED = 128, 16

#: Hedges among requests: so many at first, and then this share.
FIRST_HEDGES = 4
HEDGE_SHARE = 0.05

#: How often a waiting read looks whether it is still wanted, seconds.
_WATCH_SECONDS = 0.2

_T = TypeVar("_T")


class TruncatedShardError(StorageError):
    """A shard is shorter than the index says; no repetition helps."""


class Fetcher:
    """Reads ranges of a storage's objects; may be called from any thread."""

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
        self._buffers = ReadBuffers()
        self._threads = SpareThreads("reelshards-request")
        self._closing = threading.Event()

    def close(self) -> None:
        """Let reads that are under way raise."""
        self._closing.set()
        self._threads.close()

    def read(self, shard: str, start: int, length: int) -> ReadBytes:
        """Bytes [start, start + length) of a shard.

        Raises `StorageError` (or its subclass) that names shard and offset: at once when there is
        no such shard or it is too short, after the deadline when the store does not give them.
        """
        begin = time.monotonic()
        pause, tries = FIRST_PAUSE_SECONDS, 1
        kept = np.empty(0, dtype=np.uint8)
        while True:
            flights: list[_Download] = []
            try:
                buffer = self._request(shard, start, length, kept, flights)
            except StorageError as error:
                spent = time.monotonic() - begin
                if tries == 1:
                    self._refuse_truncated(shard, start + length, error)
                if self._is_final(error) or spent + pause > self._deadline_seconds:
                    raise type(error)(
                        f"{error} (bytes {start} to {start + length}, "
                        f"{tries} tries in {spent:.1f} s)"
                    ) from error
                before = len(kept)
                kept = max((flight.received for flight in flights), key=len, default=kept)
                self._counters.add(bytes_kept=len(kept) - before)
                # Ranks that fail together should not come back together; no result depends on it.
                self._closing.wait(pause * random.uniform(0.5, 1.0))
            else:
                self._counters.add(bytes_read=length)
                return ReadBytes(buffer, length, self._buffers)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            tries += 1
            self._counters.add(num_retries=1)

    def _request(
        self, shard: str, start: int, length: int, kept: Bytes, flights: list[_Download]
    ) -> Bytes:
        """A buffer with the range; `flights` gets every download that was begun for it.

        Each has a buffer of its own: one that is given up may still be writing when its read is
        long over, so such a buffer does not go back to the pool.
        """

        def ask() -> Bytes:
            self._counters.add(num_requests=1)
            flights.append(flight := _Download(self._buffers.take(length), kept))
            begin = time.monotonic()
            flight.run(self._storage, shard, start, length)
            self._pace.note(time.monotonic() - begin)
            return flight.buffer

        try:
            return self._first_answer(ask, shard) if self._hedges else ask()
        finally:
            for flight in flights:
                flight.is_wanted = False

    def _refuse_truncated(self, shard: str, end: int, cause: StorageError) -> None:
        """Raise `TruncatedShardError` when the shard ends before `end`."""
        if self._is_final(cause):
            return

        def ask() -> int:
            return self._storage.head(shard).size

        try:
            size = self._first_answer(ask, shard) if self._hedges else ask()
        except StorageError:
            # Then the store is away, and the read goes on trying.
            return
        if size < end:
            raise TruncatedShardError(
                f"{self._storage.uri_of(shard)} has {size} bytes, and the index has clips up to "
                f"byte {end}: it is cut off, or the index is of another version; check it with: "
                f"python -m shards_spec validate {self._storage.uri}"
            ) from cause

    def _first_answer(self, ask: Callable[[], _T], shard: str) -> _T:
        """The answer of a request or its hedge. Raises `StorageError`."""
        begin = time.monotonic()
        given_up = begin + max(1.0, REQUEST_SHARE * self._deadline_seconds)
        hedge_at = begin + self._pace.hedge_seconds()
        flights = {self._threads.run(ask)}
        while True:
            now = time.monotonic()
            until = min(given_up, hedge_at, now + _WATCH_SECONDS)
            done, flights = wait(flights, max(0.0, until - now), FIRST_COMPLETED)
            failures = [flight.exception() for flight in done]
            for flight, failure in zip(done, failures, strict=True):
                if failure is None:
                    return flight.result()
            now = time.monotonic()
            if failures and not flights and failures[0] is not None:
                raise failures[0]
            if self._closing.is_set() or now >= given_up:
                what = "the stream was closed" if self._closing.is_set() else "the store is silent"
                raise StorageError(
                    f"no answer for {self._storage.uri_of(shard)} in {now - begin:.1f} s: {what}"
                )
            if now >= hedge_at:
                hedge_at = given_up
                if self._pace.may_hedge():
                    self._counters.add(num_hedges=1)
                    flights.add(self._threads.run(ask))

    def _is_final(self, error: StorageError) -> bool:
        return self._closing.is_set() or isinstance(error, ObjectNotFoundError)


class _Download:
    """A range as it arrives."""

    def __init__(self, buffer: Bytes, kept: Bytes) -> None:
        self.buffer = buffer
        self.is_wanted = True
        """Without it, a download ends with the next piece."""
        self._num_received = len(kept)
        buffer[: len(kept)] = kept

    @property
    def received(self) -> Bytes:
        """The first bytes of the range, as many as have come; those are not written again."""
        return self.buffer[: self._num_received]

    def run(self, storage: Storage, shard: str, start: int, length: int) -> None:
        """Receive what is missing of bytes [start, start + length). Raises `StorageError`."""
        first = self._num_received
        target = self.buffer.data[first:length]
        for num_more in storage.read_into(shard, start + first, target):
            self._num_received = first + num_more
            if not self.is_wanted:
                return


class _Pace:
    """How long requests take, and how many hedges they have earned."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=NUM_TIMED)
        self._num_timed = self._num_hedges = 0
        self._lock = threading.Lock()

    def note(self, seconds: float) -> None:
        """Note how long a request took."""
        with self._lock:
            self._seconds.append(seconds)
            self._num_timed += 1

    def hedge_seconds(self) -> float:
        """How long to wait before a hedge."""
        with self._lock:
            if len(self._seconds) < MIN_TIMED:
                return HEDGE_FIRST_SECONDS
            usual = sorted(self._seconds)[int(0.95 * len(self._seconds))]
        low, high = HEDGE_BOUNDS_SECONDS
        return min(max(HEDGE_FACTOR * usual, low), high)

    def may_hedge(self) -> bool:
        """Whether one more hedge is within the bounds; it is then counted."""
        with self._lock:
            is_allowed = self._num_hedges < FIRST_HEDGES + HEDGE_SHARE * self._num_timed
            self._num_hedges += is_allowed
            return is_allowed
