"""Threads that do jobs and never keep a process alive.

The standard pool waits for its threads when the interpreter ends; a read that hangs in the network
would hang the program with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

#: How long `close` waits for jobs that have begun, seconds.
CLOSE_SECONDS = 2.0


class Threads:
    """A fixed number of daemon threads that take jobs in order; jobs must not raise."""

    def __init__(self, num_threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a job done; after `close` it is dropped."""
        self._jobs.put(job)

    def close(self) -> None:
        """Drop the jobs that have not begun; wait a moment for those that have."""
        self._closed.set()
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while not self._closed.is_set():
            job = self._jobs.get()
            if job is None:
                return
            if not self._closed.is_set():
                job()
