"""Thread pools that never keep a process alive.

The standard pool waits for its threads when the interpreter exits, so that a read that hangs in the
network would hang the program too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

#: How long `close` waits for running jobs, seconds.
CLOSE_SECONDS = 2.0


_T = TypeVar("_T")
_Job = tuple[Callable[[], Any], Future[Any]]


class DaemonPool:
    """A fixed number of daemon threads that run jobs in order; jobs must not raise."""

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
        """Queue a job; after `close` it is dropped."""
        self._jobs.put(job)

    def close(self) -> None:
        """Drop queued jobs; wait up to `CLOSE_SECONDS` for running ones."""
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
            # A waiting thread must not keep a reference to a job's batch: its memory is reused.
            del job


class ElasticPool:
    """Starts every job at once, in an idle thread if there is one, else in a new one.

    So jobs that hang never delay the next one. `close` stops idle threads at once and the others
    when their job ends.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def run(self, job: Callable[[], _T]) -> Future[_T]:
        """Start a job; the future holds its result or exception."""
        done: Future[_T] = Future()
        with self._lock:
            queue = self._idle.pop() if self._idle else None
        if queue is None:
            queue = SimpleQueue()
            threading.Thread(target=self._work, args=(queue,), name=self._name, daemon=True).start()
        queue.put((job, done))
        return done

    def close(self) -> None:
        """Stop the threads; does not wait for running jobs."""
        with self._lock:
            self._is_closed = True
            for queue in self._idle:
                queue.put(None)
            self._idle.clear()

    def _work(self, queue: SimpleQueue[_Job | None]) -> None:
        while (item := queue.get()) is not None:
            self._run(*item, queue)
            # An idle thread must not keep references to its last job.
            del item

    def _run(
        self, job: Callable[[], Any], done: Future[Any], queue: SimpleQueue[_Job | None]
    ) -> None:
        # Idle before the result is published, because its receiver may submit the next job.
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - passed on through the future
            self._release(queue)
            done.set_exception(error)
        else:
            self._release(queue)
            done.set_result(result)

    def _release(self, queue: SimpleQueue[_Job | None]) -> None:
        with self._lock:
            if self._is_closed:
                queue.put(None)
            else:
                self._idle.append(queue)
