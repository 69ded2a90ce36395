"""Reuses the shared memory of batches, and page-locks it for faster copies to a GPU.

A buffer is reused when no tensor refers to it any more. So a batch stays valid for as long as
somebody uses it, and a loop that drops its batches runs in the memory of its prefetch depth.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shards_spec.errors import InputError
from trainer.data.loader.batch_memory import BatchArrays, BatchShape, SharedBuffer


@dataclass(eq=False)
class _PooledBuffer:
    """A buffer and who still uses it."""

    buffer: SharedBuffer
    is_pinned: bool
    is_idle: Callable[[], bool]
    """Whether the device has finished the copies queued before the buffer was returned."""
    num_users: int = 0
    """Arrays that refer to its memory."""

    def __del__(self) -> None:
        if self.is_pinned:
            _unpin(self.buffer.memory)


class SharedBufferPool:
    """Buffers of one size, reused; at most `max_free` unused ones are kept."""

    def __init__(self, num_bytes: int, max_free: int, *, pin_memory: bool) -> None:
        self._num_bytes, self._max_free, self._pin_memory = num_bytes, max_free, pin_memory
        self._free: list[_PooledBuffer] = []
        self._dropped: list[int] = []
        self._device = torch.cuda.current_device() if pin_memory else None
        self._num_created = 0
        # Reentrant: the garbage collector may run a finalizer inside `take` itself.
        self._lock = threading.RLock()

    def take(self, shape: BatchShape) -> BatchArrays:
        """Arrays in a free buffer, which returns to the pool when both arrays are gone."""
        with self._lock:
            pooled = next((one for one in self._free if one.is_idle()), None)
            if pooled is not None:
                self._free.remove(pooled)
            else:
                self._num_created += 1
                pooled = self._create(self._num_created)
        arrays = BatchArrays.in_buffer(pooled.buffer, shape)
        pooled.num_users = 2
        for array in (arrays.frames, arrays.logmel):
            weakref.finalize(array, self._drop_user, pooled).atexit = False
        return arrays

    def take_dropped(self) -> list[int]:
        """Numbers of the buffers that were freed since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
            return dropped

    def _drop_user(self, pooled: _PooledBuffer) -> None:
        with self._lock:
            pooled.num_users -= 1
            if pooled.num_users:
                return
            if pooled.is_pinned:
                # Copies to the device that are queued may still read the buffer. The thread that
                # drops it last may have another current device than the trainer's.
                with torch.cuda.device(self._device):
                    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                    event.record(torch.cuda.default_stream(self._device))
                pooled.is_idle = event.query
            if len(self._free) < self._max_free:
                self._free.append(pooled)
                return
            self._dropped.append(pooled.buffer.number)
            if pooled.is_pinned:
                torch.cuda.synchronize(self._device)

    def _create(self, number: int) -> _PooledBuffer:
        try:
            buffer = SharedBuffer.create(number, self._num_bytes)
        except OSError as error:
            raise InputError(
                f"stream: no memory for a batch of {self._num_bytes} bytes ({error.strerror}); "
                "lower policy.movies-per-batch, policy.clips-per-movie or stream.prefetch-batches, "
                "or raise the memory limit of the job"
            ) from error
        if self._pin_memory:
            _pin(buffer.memory)
        return _PooledBuffer(buffer, self._pin_memory, _always_idle)


def _always_idle() -> bool:
    return True


def _pin(memory: mmap.mmap) -> None:
    """Page-lock a mapping. Raises `RuntimeError` when the driver refuses."""
    code = int(_cuda_runtime().cudaHostRegister(_address(memory), len(memory), 0))
    if code:
        raise RuntimeError(
            f"cannot page-lock {len(memory)} bytes for batches (cudaHostRegister: {code}); lower "
            "stream.prefetch-batches, or set --no-stream.pin-memory"
        )


def _unpin(memory: mmap.mmap) -> None:
    _cuda_runtime().cudaHostUnregister(_address(memory))


def _cuda_runtime() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]


def _address(memory: mmap.mmap) -> int:
    return int(np.frombuffer(memory, np.uint8).ctypes.data)
