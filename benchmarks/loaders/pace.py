"""How fast a loader is, and what the limit was at the same time.

The limit only decodes and crops film strips that are in memory, in one thread a core, into memory
that it uses again and again: no reading, no checksum, no parsing, nothing handed on.

A machine that others use too is fast one minute and slow the next. So the two are measured in turn,
a second or two each, in the same process, and a share of the limit is taken between neighbors.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import simplejpeg

from benchmarks.loaders.clip_sets import HEIGHT, WIDTH, Sizes, samples
from benchmarks.loaders.peers import FRAME_SIZE, NUM_FRAMES
from benchmarks.support import tree_cpu_seconds
from shards_spec.recipe import Recipe
from shards_spec.sample import decode_logmel
from trainer.data.loader.decode import cacheable_array

Result = dict[str, float]

#: How long each of the two is measured at a time, seconds.
SLICE_SECONDS = 1.5

#: Queues are full so long after nobody asks any more, and back to their usual depth, seconds.
SETTLE_SECONDS = 1.0

_NUM_STRIPS = 128


@dataclass(frozen=True)
class Speed:
    """Clips a second, of time and of CPU."""

    wall: float
    cpu: float


class Places:
    """Memory of clips that is used again and again, and the bare work of filling it."""

    def __init__(self, num_clips: int) -> None:
        recipe = Recipe()
        self._frames = np.empty((num_clips, NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
        self._logmels = np.empty((num_clips, recipe.n_mels, recipe.num_mel_frames), np.float16)
        self._scratch = threading.local()

    def fill(self, number: int, strip: bytes | memoryview, logmel: bytes | memoryview) -> int:
        """Decode and crop a clip; gives 1."""
        memory = getattr(self._scratch, "memory", None)
        if memory is None:
            memory = self._scratch.memory = cacheable_array((NUM_FRAMES, HEIGHT, WIDTH, 3))
        simplejpeg.decode_jpeg(strip, "RGB", fastupsample=True, buffer=memory.reshape(-1))
        top, left = (HEIGHT - FRAME_SIZE) // 2, (WIDTH - FRAME_SIZE) // 2
        self._frames[number] = memory[:, top : top + FRAME_SIZE, left : left + FRAME_SIZE]
        self._logmels[number] = decode_logmel(logmel)
        return 1


def limit(num_threads: int) -> Iterator[int]:
    """Decoding and cropping alone, endlessly; yields numbers of clips."""
    found = samples(Sizes())
    strips, logmels = zip(*(next(found) for _ in range(_NUM_STRIPS)), strict=True)
    places = Places(len(strips))

    def one(number: int) -> int:
        return places.fill(number, strips[number], logmels[number])

    with ThreadPoolExecutor(num_threads) as pool:
        while True:
            yield sum(pool.map(one, range(len(strips))))


def pace(counts: Iterator[int], begin: float, seconds: float, num_threads: int) -> Result:
    """Clips per second, and per second of CPU, of what gives numbers of clips, and of the limit.

    Args:
        counts: the number of clips of each batch, as it comes.
        begin: `time.perf_counter()` when the way was begun, for the time to its first batch.
        seconds: how long to measure it, besides the limit; 0 for its first batch alone.
        num_threads: cores that the limit may use.
    """
    next(counts)
    result = {"first_batch_seconds": time.perf_counter() - begin}
    if seconds <= 0:
        return result
    bound = limit(num_threads)
    next(bound)
    pairs = []
    for _ in range(max(1, round(seconds / SLICE_SECONDS))):
        best, way = _settled(bound), _settled(counts)
        pairs.append((way, best))
    return result | {
        "clips_per_second": statistics.median(way.wall for way, _ in pairs),
        "clips_per_cpu_second": statistics.median(way.cpu for way, _ in pairs),
        "limit_per_second": statistics.median(best.wall for _, best in pairs),
        "limit_per_cpu_second": statistics.median(best.cpu for _, best in pairs),
        "share_of_limit": statistics.median(way.wall / best.wall for way, best in pairs),
        "share_of_limit_cpu": statistics.median(way.cpu / best.cpu for way, best in pairs),
    }


def _settled(counts: Iterator[int]) -> Speed:
    _speed(counts, SETTLE_SECONDS)
    return _speed(counts, SLICE_SECONDS)


def _speed(counts: Iterator[int], seconds: float) -> Speed:
    start, cpu, num_clips = time.perf_counter(), tree_cpu_seconds(), 0
    while time.perf_counter() - start < seconds:
        num_clips += next(counts)
    cpu = tree_cpu_seconds() - cpu
    return Speed(num_clips / (time.perf_counter() - start), num_clips / max(cpu, 1e-9))
