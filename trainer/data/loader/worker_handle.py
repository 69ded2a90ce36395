"""A loader worker as the training process sees it: started, given jobs, watched, ended.

Workers are started with exec, never with fork: a fork would copy the locks of torch's and obstore's
threads in whatever state they are. Each has one socket; when it closes, the other side is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future

from shards_spec.errors import ReelshardsError
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage
from trainer.data.fetch.counters import Counters
from trainer.data.loader.batch_memory import BatchArrays
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.jobs import FillJob, Problems
from trainer.data.loader.messages import (
    FillRequest,
    FillResult,
    ReleaseBuffer,
    Setup,
    receive_message,
    send_message,
)

#: Signals are for the training process, which ends its workers: they are ignored from the start,
#: before the imports, which take longest.
_COMMAND = (
    "import signal; "
    "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "from trainer.data.loader.worker import main; main()"
)

#: Settings of glibc's allocator, sizes in bytes: it keeps the memory of reads for reuse instead of
#: returning it to the kernel, whose fresh pages take a twentieth of a clip's time. By default every
#: few threads have an arena, and each would keep its own: memory would grow for hours.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 1024 * 1024),
}

#: A worker that takes longer than this to end is killed, seconds.
END_SECONDS = 5.0


class LoaderDiedError(ReelshardsError):
    """A loader worker exited or was killed; the message says which one and how it ended."""


class LoaderWorker:
    """One loader worker. `close` ends it; it also ends when its parent does, however that ends."""

    def __init__(
        self, storage: Storage, recipe: Recipe, config: StreamConfig, counters: Counters
    ) -> None:
        self._counters = counters
        self._channel, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(
            # -P: a `trainer.py` in the working folder must not hide this package.
            [sys.executable, "-P", "-c", _COMMAND, *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # Not the terminal's process group, so that Ctrl-C reaches the training process alone.
            process_group=0,
            env={
                **_ALLOCATOR,
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            },
        )
        theirs.close()
        self._waiting: dict[int, Future[Problems]] = {}
        self._known_buffers: set[int] = set()
        self._num_requests = 0
        self._is_closed = False
        self._failure: BaseException | None = None
        self._send_lock, self._lock = threading.Lock(), threading.Lock()
        self._receiver = threading.Thread(
            target=self._receive, name=f"reelshards-loader-{self.pid}", daemon=True
        )
        self._receiver.start()
        self._send(Setup(storage, recipe, config))

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    def start(self, job: FillJob, arrays: BatchArrays) -> Future[Problems]:
        """Start filling the slots of `job`; the future raises `LoaderDiedError` if it dies."""
        done: Future[Problems] = Future()
        with self._lock:
            self._num_requests += 1
            number = self._num_requests
            if self._failure is not None:
                done.set_exception(self._failure)
                return done
            self._waiting[number] = done
        buffer = arrays.buffer
        with self._send_lock:
            is_new = buffer.number not in self._known_buffers
            self._known_buffers.add(buffer.number)
            descriptor = buffer.descriptor if is_new else None
            self._send(FillRequest(number, buffer.number, arrays.shape, job), descriptor)
        return done

    def release(self, buffer_number: int) -> None:
        """Drop a buffer that gets no more jobs."""
        with self._send_lock:
            if buffer_number in self._known_buffers:
                self._known_buffers.remove(buffer_number)
                self._send(ReleaseBuffer(buffer_number))

    def begin_close(self) -> None:
        """Tell the worker to end; does not wait."""
        self._is_closed = True
        # It may be gone already.
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the worker and wait for it."""
        self.begin_close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if threading.current_thread() is not self._receiver:
            self._receiver.join()
        self._channel.close()

    def _send(
        self, message: Setup | FillRequest | ReleaseBuffer, descriptor: int | None = None
    ) -> None:
        # If the worker is gone, the receiving thread notices too and reports what happened.
        with contextlib.suppress(OSError):
            send_message(self._channel, message, descriptor)

    def _receive(self) -> None:
        try:
            while True:
                result, _ = receive_message(self._channel)
                self._handle(result)
        except (EOFError, OSError):
            self._fail(LoaderDiedError(self._cause_of_death()))
        except BaseException as error:
            # No result is received any more, so nobody may keep waiting for one.
            message = f"loader worker {self.pid} sent an invalid message: {error!r}"
            self._fail(LoaderDiedError(message))
            raise

    def _handle(self, result: FillResult) -> None:
        self._counters.add(**result.counts)
        with self._lock:
            done = self._waiting.pop(result.number)
        if isinstance(result.result, BaseException):
            done.set_exception(result.result)
        else:
            done.set_result(result.result)

    def _fail(self, error: LoaderDiedError) -> None:
        with self._lock:
            self._failure = error
            waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done.set_exception(error)

    def _cause_of_death(self) -> str:
        name = f"loader worker {self.pid}"
        if self._is_closed:
            return f"{name} was stopped together with its stream"
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return f"{name} closed its socket but did not exit; this is a bug, please report it"
        if code == -signal.SIGKILL:
            return (
                f"{name} was killed by SIGKILL, which often means that memory ran out; lower "
                "stream.prefetch-batches or stream.num-processes, or give the job more memory"
            )
        if code < 0:
            return f"{name} was killed by {signal.Signals(-code).name}; run again to resume"
        return f"{name} exited with code {code}; see its messages on stderr"
