"""The memory of a batch, which loader workers and the training process share.

A buffer is an anonymous file (`memfd_create`; elsewhere an unlinked temporary file), mapped by the
training process and, through a descriptor sent over a socket, by its loader workers. The kernel
frees it with its last user, however that one ends: after `kill -9` nothing is left under /dev/shm
or /tmp, and a container's small /dev/shm is not a limit.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.recipe import Recipe
from trainer.data.loader.config import StreamConfig


@dataclass(frozen=True)
class BatchShape:
    """Layout of a batch in memory: all frames, then all log-mels."""

    num_slots: int
    """Clips of the batch."""
    num_frames: int
    frame_size: int
    n_mels: int
    num_mel_frames: int

    @staticmethod
    def of(recipe: Recipe, config: StreamConfig, num_slots: int) -> BatchShape:
        """The shape of a batch of `num_slots` clips."""
        mels = (recipe.n_mels, recipe.num_mel_frames)
        return BatchShape(num_slots, recipe.num_frames, config.frame_size, *mels)

    @property
    def frames_bytes(self) -> int:
        """Bytes of all frames, rounded up to a multiple of 4, which keeps the log-mels aligned."""
        size = self.num_slots * self.num_frames * self.frame_size**2 * 3
        return -(-size // 4) * 4

    @property
    def num_bytes(self) -> int:
        """Bytes of the batch."""
        return self.frames_bytes + self.num_slots * self.n_mels * self.num_mel_frames * 2

    @property
    def frames(self) -> tuple[int, ...]:
        """(B, T, S, S, 3)."""
        return (self.num_slots, self.num_frames, self.frame_size, self.frame_size, 3)

    @property
    def logmel(self) -> tuple[int, ...]:
        """(B, n_mels, num_mel_frames)."""
        return (self.num_slots, self.n_mels, self.num_mel_frames)


class SharedBuffer:
    """Memory that several processes can map; it holds one batch at a time."""

    def __init__(self, number: int, descriptor: int, num_bytes: int = 0) -> None:
        """Map `num_bytes` of an open file (0: all of it), which the buffer then owns."""
        self.number = number
        """Identifies the buffer between a training process and its workers."""
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, num_bytes)

    @staticmethod
    def create(number: int, num_bytes: int) -> SharedBuffer:
        """A new buffer. Raises `OSError` when there is not enough memory."""
        return SharedBuffer(number, _anonymous_file(num_bytes), num_bytes)

    def __del__(self) -> None:
        os.close(self.descriptor)


@dataclass(frozen=True, eq=False)
class BatchArrays:
    """The arrays of a batch of B slots, which a loader fills."""

    frames: NDArray[np.uint8]
    """(B, T, S, S, 3)."""
    logmel: NDArray[np.float16]
    """(B, n_mels, num_mel_frames)."""
    shape: BatchShape
    buffer: SharedBuffer
    """The memory of both arrays."""

    @staticmethod
    def in_buffer(buffer: SharedBuffer, shape: BatchShape) -> BatchArrays:
        """Arrays in a buffer of at least `shape.num_bytes`."""
        memory = memoryview(buffer.memory)
        frames = np.frombuffer(memory, np.uint8, math.prod(shape.frames))
        logmel = np.frombuffer(memory, "<f2", math.prod(shape.logmel), shape.frames_bytes)
        return BatchArrays(
            frames.reshape(shape.frames), logmel.reshape(shape.logmel), shape, buffer
        )


def _anonymous_file(num_bytes: int) -> int:
    """Descriptor of a file in memory without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("reelshards-batch", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, num_bytes)
    return descriptor
