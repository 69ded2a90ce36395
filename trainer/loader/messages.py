"""Python objects and file descriptors over a socket between a parent and its loader processes."""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!Q")


def send_message(channel: socket.socket, message: Any, descriptor: int | None = None) -> None:
    """Send one object, with a file descriptor if given; only one thread at a time may."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    head = _HEADER.pack(len(data))
    if descriptor is None:
        channel.sendall(head + data)
        return
    # The descriptor travels with the first byte; the rest of a partial send follows without it.
    sent = socket.send_fds(channel, [head], [descriptor])
    channel.sendall(head[sent:] + data)


def receive_message(channel: socket.socket) -> tuple[Any, int | None]:
    """One object, and the descriptor that came with it. Raises `EOFError` when the peer is gone."""
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
