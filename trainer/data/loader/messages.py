"""Messages between a training process and its loader workers, and their transport over a socket.

training process                     loader worker
Setup               ------------->
FillRequest + fd    ------------->   (the descriptor of a buffer comes with its first request)
                    <-------------   FillResult
ReleaseBuffer       ------------->
"""

from __future__ import annotations

import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Any

from shards_spec.recipe import Recipe
from shards_spec.storage import Storage
from trainer.data.loader.batch_memory import BatchShape
from trainer.data.loader.config import StreamConfig
from trainer.data.loader.jobs import FillJob, Problems

_HEADER = struct.Struct("!Q")


@dataclass(frozen=True)
class Setup:
    """The first message to a worker."""

    storage: Storage
    recipe: Recipe
    config: StreamConfig


@dataclass(frozen=True)
class FillRequest:
    """A job for a worker."""

    number: int
    """Identifies the request in its result."""
    buffer: int
    """Number of the shared buffer."""
    shape: BatchShape
    job: FillJob


@dataclass(frozen=True)
class ReleaseBuffer:
    """A shared buffer that gets no more requests."""

    buffer: int


@dataclass(frozen=True)
class FillResult:
    """The outcome of a request."""

    number: int
    result: Problems | BaseException
    counts: dict[str, float]
    """Counts of the worker since its last result."""


def send_message(channel: socket.socket, message: Any, descriptor: int | None = None) -> None:
    """Send one object and optionally a file descriptor; not thread-safe."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    head = _HEADER.pack(len(data))
    if descriptor is None:
        channel.sendall(head + data)
        return
    # The descriptor is attached to the first byte; if the send was partial, the rest needs none.
    num_sent = socket.send_fds(channel, [head], [descriptor])
    channel.sendall(head[num_sent:] + data)


def receive_message(channel: socket.socket) -> tuple[Any, int | None]:
    """One object and the descriptor sent with it. Raises `EOFError` when the peer has closed."""
    head, descriptors, _, _ = socket.recv_fds(channel, _HEADER.size, 1)
    if not head:
        raise EOFError
    head += _receive(channel, _HEADER.size - len(head))
    data = _receive(channel, _HEADER.unpack(head)[0])
    return pickle.loads(data), descriptors[0] if descriptors else None


def _receive(channel: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view, start = memoryview(data), 0
    while start < length:
        count = channel.recv_into(view[start:])
        if not count:
            raise EOFError
        start += count
    return bytes(data)
