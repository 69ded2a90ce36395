"""The main loop of a loader worker: a process that fills slots of shared memory for the stream.

Its arguments are a socket and the process id of its parent. It imports neither torch nor the
training program. It ends at once, even if its threads are busy, when the socket is closed or its
parent is gone; it ignores Ctrl-C and SIGTERM, which are for its parent to handle.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import sys
import threading
from concurrent.futures import Future
from functools import partial
from typing import Any

from trainer.data.fetch.counters import Counters
from trainer.data.loader.batch_memory import BatchArrays, SharedBuffer
from trainer.data.loader.jobs import Problems
from trainer.data.loader.loader import ThreadLoader
from trainer.data.loader.messages import FillResult, ReleaseBuffer, receive_message, send_message

#: How often a worker checks that its parent is alive, seconds.
POLL_SECONDS = 2.0


def serve(channel: socket.socket, parent: int) -> None:
    """Handle requests until the parent is gone. Raises `EOFError` when it closes the socket."""
    setup, _ = receive_message(channel)
    counters = Counters()
    loader = ThreadLoader(setup.storage, setup.recipe, setup.config, counters)
    buffers: dict[int, SharedBuffer] = {}
    lock = threading.Lock()

    def send_result(number: int, done: Future[Problems]) -> None:
        result: Any = done.exception() or done.result()
        # If the parent is gone, nobody needs the result, and the loop below ends.
        with lock, contextlib.suppress(OSError):
            try:
                send_message(channel, FillResult(number, result, counters.take()))
            except (pickle.PicklingError, TypeError):
                send_message(channel, FillResult(number, RuntimeError(repr(result)), {}))

    while _has_message(channel, parent):
        request, descriptor = receive_message(channel)
        if isinstance(request, ReleaseBuffer):
            del buffers[request.buffer]
            continue
        if descriptor is not None:
            buffers[request.buffer] = SharedBuffer(request.buffer, descriptor)
        arrays = BatchArrays.in_buffer(buffers[request.buffer], request.shape)
        done = loader.start(request.job, arrays)
        done.add_done_callback(partial(send_result, request.number))


def _has_message(channel: socket.socket, parent: int) -> bool:
    """Wait for a message; False if the parent is gone although something keeps its socket open."""
    while not select.select([channel], [], [], POLL_SECONDS)[0]:
        if os.getppid() != parent:
            return False
    return True


def main() -> None:
    """Serve; never returns."""
    code = 0
    try:
        serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    except (EOFError, ConnectionError):
        pass
    except BaseException:  # noqa: BLE001 - printed; the exit code reports it to the parent
        sys.excepthook(*sys.exc_info())
        code = 1
    # Not `sys.exit`: threads may hang in reads that nobody needs any more.
    sys.stderr.flush()
    os._exit(code)
