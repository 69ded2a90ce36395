"""Keeps the index up to date while a run continues, so that training can begin on what is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from shards_spec.schema import MovieRow

#: Updates take at most one part in so many of a run's time.
_REST_FACTOR = 10.0


class IndexKeeper:
    """Updates the index in a thread of its own, every few minutes or every so many movies."""

    def __init__(
        self,
        update: Callable[[], list[MovieRow]],
        every_seconds: float,
        every_movies: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`update` brings the index up to date and returns all of its movie rows."""
        self._update = update
        self._every_seconds = every_seconds
        self._every_movies = every_movies
        self._clock = clock
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._running: Future[None] | None = None
        self._num_new = 0
        self._ended = clock()
        self._took_seconds = 0.0

    def note_finished(self) -> None:
        """A movie was committed."""
        self._num_new += 1

    def update_if_due(self) -> None:
        """Start an update if one is due. Raises what the last one failed with."""
        if self._running is not None:
            if not self._running.done():
                return
            self._running.result()
            self._running = None
        waited = self._clock() - self._ended
        is_due = waited >= self._every_seconds or self._num_new >= self._every_movies
        if self._num_new and is_due and waited >= _REST_FACTOR * self._took_seconds:
            self._num_new = 0
            self._running = self._pool.submit(self._timed_update)

    def close(self) -> None:
        """Wait for a running update; its errors no longer matter."""
        self._pool.shutdown(wait=True)

    def _timed_update(self) -> None:
        started = self._clock()
        self._update()
        self._ended = self._clock()
        self._took_seconds = self._ended - started
