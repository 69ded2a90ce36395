"""Threads that do jobs and never keep a process alive.

The standard pool waits for its threads when the interpreter ends; a read that hangs in the network
would hang the program with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

#: How long `close` waits for jobs that have begun, seconds.
CLOSE_SECONDS = 2.0


_T = TypeVar("_T")
_Job = tuple[Callable[[], Any], Future[Any]]


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
            # A waiting thread must not hold a job's batch: its memory could not be used again.
            del job


class SpareThreads:
    """A thread for every job, at once: one that is idle, else a new one.

    However many jobs hang, the next one has a thread that runs it. `close` ends the idle ones, and
    the others when their job is over.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def run(self, job: Callable[[], _T]) -> Future[_T]:
        """Do a job; the future has its result or what it raised."""
        done: Future[_T] = Future()
        with self._lock:
            queue = self._idle.pop() if self._idle else None
        if queue is None:
            queue = SimpleQueue()
            threading.Thread(target=self._work, args=(queue,), name=self._name, daemon=True).start()
        queue.put((job, done))
        return done

    def close(self) -> None:
        """End the threads; does not wait for jobs that have begun."""
        with self._lock:
            self._is_closed = True
            for queue in self._idle:
                queue.put(None)
            self._idle.clear()

    def _work(self, queue: SimpleQueue[_Job | None]) -> None:
        while (given := queue.get()) is not None:
            self._do(*given, queue)
            # An idle thread holds nothing of its last job.
            del given

    def _do(
        self, job: Callable[[], Any], done: Future[Any], queue: SimpleQueue[_Job | None]
    ) -> None:
        # Idle before the result is known: whoever waits for it may have the next job.
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            self._keep(queue)
            done.set_exception(error)
        else:
            self._keep(queue)
            done.set_result(result)

    def _keep(self, queue: SimpleQueue[_Job | None]) -> None:
        with self._lock:
            if self._is_closed:
                queue.put(None)
            else:
                self._idle.append(queue)


class Countdown:
    """Counts down to 0, from any thread."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()

    def count(self) -> bool:
        """Count one; whether it was the last."""
        with self._lock:
            self._number -= 1
            return self._number == 0
