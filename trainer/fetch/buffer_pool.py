"""Memory that reads arrive in, used again and again.

A clip's bytes in fresh memory cost a page fault for every 4 KiB, a twentieth of its decoding.
"""

from __future__ import annotations

import threading
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

#: More than this is not kept while nobody uses it.
MAX_FREE_BYTES = 64 * 1024 * 1024


class ReadBuffers:
    """A pool of buffers; may be used from any thread. What is not given back is simply freed."""

    def __init__(self, max_free_bytes: int = MAX_FREE_BYTES) -> None:
        self._max_free_bytes = max_free_bytes
        self._free: defaultdict[int, list[Bytes]] = defaultdict(list)
        self._free_bytes = 0
        self._lock = threading.Lock()

    def take(self, num_bytes: int) -> Bytes:
        """A buffer of at least so many bytes (1-D uint8); they are what they were before."""
        size = 1 << max(0, num_bytes - 1).bit_length()
        with self._lock:
            if self._free[size]:
                self._free_bytes -= size
                return self._free[size].pop()
        return np.empty(size, dtype=np.uint8)

    def give_back(self, buffer: Bytes) -> None:
        """Let a buffer be used again; nothing may look at it any more."""
        with self._lock:
            if self._free_bytes + buffer.size <= self._max_free_bytes:
                self._free_bytes += buffer.size
                # The last one is taken first: it may still be in the processor's cache.
                self._free[buffer.size].append(buffer)


class ReadBytes:
    """The bytes of a read."""

    def __init__(self, buffer: Bytes, length: int, pool: ReadBuffers) -> None:
        self.data = buffer[:length]
        """(length,)."""
        self._buffer, self._pool = buffer, pool

    def give_back(self) -> None:
        """Let the memory be used again; nothing may look at `data` any more."""
        self._pool.give_back(self._buffer)
