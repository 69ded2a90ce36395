"""A loader process, started by the stream with its socket and its parent as arguments.

It gets work over a socket, fills slots of shared memory with a `Loader`, and answers. It imports
neither torch nor anything of the training program, and it ends at once, whatever its threads are
doing, when the socket closes or its parent is gone. Ctrl-C and SIGTERM are its parent's to answer.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import select
import socket
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from shards_spec.recipe import Recipe
from shards_spec.storage import Storage
from trainer.fetch import Counters
from trainer.loader.config import StreamConfig
from trainer.loader.loader import BatchShape, Loader, Problems, Slots, Work
from trainer.loader.messages import receive_message, send_message

#: How often it looks whether its parent is still there, seconds.
WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Setup:
    """The first message to a loader process."""

    storage: Storage
    recipe: Recipe
    config: StreamConfig


@dataclass(frozen=True)
class Order:
    """Work for a loader process. A segment's descriptor comes with the first order on it."""

    number: int
    segment: int
    shape: BatchShape
    work: Work


@dataclass(frozen=True)
class Forget:
    """A segment that gets no more orders."""

    segment: int


@dataclass(frozen=True)
class Answer:
    """What became of an order."""

    number: int
    result: Problems | BaseException
    counts: dict[str, float]
    """What was counted since the answer before."""


def serve(channel: socket.socket, parent: int) -> None:
    """Work until the parent is gone."""
    setup, _ = receive_message(channel)
    counters = Counters()
    loader = Loader(setup.storage, setup.recipe, setup.config, counters)
    segments: dict[int, mmap.mmap] = {}
    lock = threading.Lock()

    def answer(number: int, done: Future[Problems]) -> None:
        result: Any = done.exception() or done.result()
        # Without a parent there is nobody to answer; the loop below sees that too.
        with lock, contextlib.suppress(OSError):
            try:
                send_message(channel, Answer(number, result, counters.take()))
            except (pickle.PicklingError, TypeError):
                send_message(channel, Answer(number, RuntimeError(repr(result)), {}))

    while _has_message(channel, parent):
        order, descriptor = receive_message(channel)
        if isinstance(order, Forget):
            del segments[order.segment]
            continue
        if descriptor is not None:
            segments[order.segment] = mmap.mmap(descriptor, 0)
            os.close(descriptor)
        slots = Slots.in_memory(memoryview(segments[order.segment]), order.shape)
        done = loader.start(order.work, slots)
        done.add_done_callback(partial(answer, order.number))


def _has_message(channel: socket.socket, parent: int) -> bool:
    """Wait for a message; False when the parent is gone though something holds its socket open."""
    while not select.select([channel], [], [], WATCH_SECONDS)[0]:
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
    except BaseException:  # noqa: BLE001 - shown, and the exit code tells the parent
        sys.excepthook(*sys.exc_info())
        code = 1
    # Not `sys.exit`: threads may hang in reads that nobody wants any more.
    sys.stderr.flush()
    os._exit(code)
