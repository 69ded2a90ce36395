"""A discrete-event simulation of the stream: reading threads, one link, decoding threads, a step.

Each batch is requested when the training step takes the one `depth` places before it. Its reads
wait for a free reading thread, then for the first byte (the latency), then for their turn on the
link, which sends one answer after the other. A read's clips are then decoded, each on the first
core that is free. The step takes a batch when all of its clips are decoded.

Left out: handing batches over, retries, the cache, and variation of latency.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


class Read(NamedTuple):
    """One ranged read."""

    num_bytes: int
    num_clips: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What supplies a rank; times in seconds."""

    num_readers: int
    """Reads in flight."""
    num_decoders: int
    """Clips that are decoded at the same time."""
    depth: int
    """Batches prepared ahead."""
    latency: float
    bytes_per_second: float
    decode: float
    """To decode a clip."""


@dataclass(frozen=True, eq=False)
class Course:
    """When what happened, seconds since the start. N batches."""

    ready: Seconds
    """(N,) when a batch was complete."""
    requested: Seconds
    """(N,) when the training step was free to take it."""

    @property
    def waits(self) -> Seconds:
        """(N,) how long the step waited for each batch."""
        return np.maximum(0.0, self.ready - self.requested)


def simulate(batches: Sequence[Sequence[Read]], machine: Machine, step_seconds: float) -> Course:
    """The course of a training on these batches, in their order."""
    readers, decoders = [0.0] * machine.num_readers, [0.0] * machine.num_decoders
    link_free = free = 0.0
    ready, requested = np.zeros(len(batches)), np.zeros(len(batches))
    supplied = 0
    for step in range(len(batches)):
        requested[step] = free
        # Taking a batch makes room for the one `depth` places later.
        while supplied < min(len(batches), step + 1 + machine.depth):
            complete = free
            for read in batches[supplied]:
                begin = max(free, heapq.heappop(readers))
                sent = max(link_free, begin + machine.latency)
                link_free = sent + read.num_bytes / machine.bytes_per_second
                heapq.heappush(readers, link_free)
                for _ in range(read.num_clips):
                    decoded = max(link_free, heapq.heappop(decoders)) + machine.decode
                    heapq.heappush(decoders, decoded)
                    complete = max(complete, decoded)
            ready[supplied] = complete
            supplied += 1
        free = max(free, ready[step]) + step_seconds
    return Course(ready, requested)
