"""Loader processes as the stream sees them: started, given work, watched, ended.

They are started by exec, never by fork: a fork would copy the locks of torch's and obstore's
threads in whatever state they are. Each has one socket; its end means the other side is gone.
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
from shards_spec.reader import Dataset
from trainer.fetch import Counters
from trainer.loader import (
    Answer,
    BatchShape,
    Forget,
    Order,
    Problems,
    Setup,
    StreamConfig,
    Work,
    receive_message,
    send_message,
)
from trainer.stream.shared_memory import Segment

#: Not `-m`: the classes of its messages must have their module's name, not `__main__`.
#: Signals are the trainer's, which ends its loaders: ignored before anything takes its time.
_COMMAND = (
    "import signal; "
    "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "from trainer.loader.worker import main; main()"
)

#: For glibc: memory of reads goes back to the process, not to the kernel, whose fresh pages take a
#: twentieth of a clip's time. Its own words for these settings, in bytes.
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 1024 * 1024),
}

#: How long a process may take to end before it is killed, seconds.
END_SECONDS = 5.0


class LoaderDiedError(ReelshardsError):
    """A loader process ended by itself or was killed; the message names it and how it ended."""


class LoaderProcess:
    """One loader process. `close` ends it; its parent's end, however it comes, does too."""

    def __init__(self, dataset: Dataset, config: StreamConfig, counters: Counters) -> None:
        self._counters = counters
        self._channel, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(
            # -P: a `trainer.py` in the working folder must not hide this package.
            [sys.executable, "-P", "-c", _COMMAND, *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # Not the terminal's, so Ctrl-C goes to the trainer alone.
            process_group=0,
            env={
                **_KEEP_MEMORY,
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            },
        )
        theirs.close()
        self._waiting: dict[int, Future[Problems]] = {}
        self._known: set[int] = set()
        self._num_orders = 0
        self._is_closed = False
        self._failure: BaseException | None = None
        self._send_lock, self._lock = threading.Lock(), threading.Lock()
        self._receiver = threading.Thread(
            target=self._receive, name=f"reelshards-loader-{self.pid}", daemon=True
        )
        self._receiver.start()
        self._send(Setup(dataset.storage, dataset.recipe, config))

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def start(self, work: Work, segment: Segment, shape: BatchShape) -> Future[Problems]:
        """Have slots of a segment filled. The future raises `LoaderDiedError` if it dies."""
        done: Future[Problems] = Future()
        with self._lock:
            self._num_orders += 1
            number = self._num_orders
            if self._failure is not None:
                done.set_exception(self._failure)
                return done
            self._waiting[number] = done
        with self._send_lock:
            is_new = segment.number not in self._known
            self._known.add(segment.number)
            descriptor = segment.descriptor if is_new else None
            self._send(Order(number, segment.number, shape, work), descriptor)
        return done

    def forget(self, segment: int) -> None:
        """Let go of a segment that is not used any more."""
        with self._send_lock:
            if segment in self._known:
                self._known.remove(segment)
                self._send(Forget(segment))

    def begin_close(self) -> None:
        """Tell the process to end; does not wait."""
        self._is_closed = True
        # It may be gone already.
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the process and wait for its end."""
        self.begin_close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if threading.current_thread() is not self._receiver:
            self._receiver.join()
        self._channel.close()

    def _send(self, message: Setup | Order | Forget, descriptor: int | None = None) -> None:
        # Where the process is gone, the receiving thread sees it as well and says what happened.
        with contextlib.suppress(OSError):
            send_message(self._channel, message, descriptor)

    def _receive(self) -> None:
        try:
            while True:
                answer, _ = receive_message(self._channel)
                self._take(answer)
        except (EOFError, OSError):
            self._fail(LoaderDiedError(self._obituary()))
        except BaseException as error:
            # Nobody may be left waiting for answers that no thread receives any more.
            self._fail(LoaderDiedError(f"loader process {self.pid} answered nonsense: {error!r}"))
            raise

    def _take(self, answer: Answer) -> None:
        self._counters.add(**answer.counts)
        with self._lock:
            done = self._waiting.pop(answer.number)
        if isinstance(answer.result, BaseException):
            done.set_exception(answer.result)
        else:
            done.set_result(answer.result)

    def _fail(self, error: LoaderDiedError) -> None:
        with self._lock:
            self._failure = error
            waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done.set_exception(error)

    def _obituary(self) -> str:
        name = f"loader process {self.pid}"
        if self._is_closed:
            return f"{name} was ended with its stream"
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return f"{name} closed its socket but did not end; this is a bug, please report it"
        if code == -signal.SIGKILL:
            return (
                f"{name} was killed by SIGKILL, often a sign that memory ran out; lower "
                "stream.prefetch-batches or stream.num-processes, or give the job more memory"
            )
        if code < 0:
            return f"{name} was ended by {signal.Signals(-code).name}; run again to go on"
        return f"{name} ended with exit code {code}; what it wrote to stderr says why"
