"""Memory that processes share and that no name leads to.

A segment is an anonymous file (`memfd_create`; elsewhere an unlinked temporary file), mapped by the
trainer and, through a descriptor sent over a socket, by its loader processes. The kernel frees it
with its last holder, however that ends: after `kill -9` nothing is left under /dev/shm or /tmp, and
containers' small /dev/shm does not limit it.

A segment is used again when no tensor looks at it any more. So a batch stays valid for as long as
someone holds it, and a loop that lets go of its batches runs in the memory of its prefetch depth.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch

from shards_spec.errors import InputError
from trainer.loader import BatchShape, Slots
from trainer.stream.pinned import pin, unpin


@dataclass(eq=False)
class Segment:
    """Shared memory of one batch at a time."""

    number: int
    descriptor: int
    memory: mmap.mmap
    is_pinned: bool
    ready: Callable[[], bool]
    """Whether the device has done what it was asked while this was last in use."""
    num_holders: int = 0
    """Arrays that look at it."""

    def __del__(self) -> None:
        if self.is_pinned:
            unpin(self.memory)
        os.close(self.descriptor)


class SegmentPool:
    """Segments of one size; free ones are used again, at most `max_free` of them are kept."""

    def __init__(self, num_bytes: int, max_free: int, *, pin_memory: bool) -> None:
        self._num_bytes, self._max_free, self._pin_memory = num_bytes, max_free, pin_memory
        self._free: list[Segment] = []
        self._dropped: list[int] = []
        self._num_made = 0
        # A finaliser may run inside `take` itself, when the garbage collector does.
        self._lock = threading.RLock()

    def take(self, shape: BatchShape) -> tuple[Segment, Slots]:
        """A segment, and its memory as slots; it comes back when these arrays are gone."""
        with self._lock:
            ready = next((one for one in self._free if one.ready()), None)
            if ready is not None:
                self._free.remove(ready)
            else:
                self._num_made += 1
                ready = self._make(self._num_made)
        slots = Slots.in_memory(memoryview(ready.memory), shape)
        ready.num_holders = 2
        for array in (slots.frames, slots.logmel):
            weakref.finalize(array, self._let_go, ready).atexit = False
        return ready, slots

    def take_dropped(self) -> list[int]:
        """Numbers of segments that were not kept, since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, []
            return dropped

    def _let_go(self, segment: Segment) -> None:
        with self._lock:
            segment.num_holders -= 1
            if segment.num_holders:
                return
            if segment.is_pinned:
                # Copies to the device that were queued may still be reading it.
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record()
                segment.ready = event.query
            if len(self._free) < self._max_free:
                self._free.append(segment)
                return
            self._dropped.append(segment.number)
            if segment.is_pinned:
                torch.cuda.synchronize()

    def _make(self, number: int) -> Segment:
        try:
            descriptor = anonymous_file(self._num_bytes)
            memory = mmap.mmap(descriptor, self._num_bytes)
        except OSError as error:
            raise InputError(
                f"stream: no memory for a batch of {self._num_bytes} bytes ({error.strerror}); "
                "lower policy.movies-per-batch, policy.clips-per-movie or stream.prefetch-batches, "
                "or raise the limits of the job"
            ) from error
        if self._pin_memory:
            pin(memory)
        return Segment(number, descriptor, memory, self._pin_memory, _yes)


def anonymous_file(num_bytes: int) -> int:
    """Descriptor of a file in memory without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("reelshards-batch", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, num_bytes)
    return descriptor


def _yes() -> bool:
    return True
