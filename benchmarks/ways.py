"""The ways of `benchmarks.loader`: each gives batches of the same clips, and `pace` measures it.

The limit only decodes and crops film strips that are in memory, in one thread a core, into memory
that it uses again and again: no reading, no checksum, no parsing, nothing handed on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clip_sets import Sizes, samples
from benchmarks.peers import FRAME_SIZE, LOADERS, NUM_FRAMES, Source
from shards_spec.sample import decode_logmel

Result = dict[str, float]

#: Batches of other settings are still in the queues for so long after the first one, seconds.
SETTLE_SECONDS = 2.0

RESUME_STEP = 1_000_000

MOVIES, CLIPS = 4, 16


def limit(arguments: argparse.Namespace, _: Source) -> Result:
    """Decoding and cropping alone."""
    import simplejpeg

    found = samples(Sizes())
    clips = [(strip, decode_logmel(logmel)) for strip, logmel in (next(found) for _ in range(128))]
    frames = np.empty((len(clips), NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    logmels = np.empty((len(clips), *clips[0][1].shape), np.float16)
    scratch = threading.local()

    def one(number: int) -> int:
        strip, logmel = clips[number]
        memory = getattr(scratch, "memory", None)
        if memory is None:
            height, width, _, _ = simplejpeg.decode_jpeg_header(strip)
            memory = scratch.memory = np.empty((height, width, 3), np.uint8)
        simplejpeg.decode_jpeg(strip, "RGB", fastupsample=True, buffer=memory.reshape(-1))
        whole = memory.reshape(NUM_FRAMES, -1, memory.shape[1], 3)
        top, left = ((size - FRAME_SIZE) // 2 for size in whole.shape[1:3])
        frames[number] = whole[:, top : top + FRAME_SIZE, left : left + FRAME_SIZE]
        logmels[number] = logmel
        return 1

    def batches(pool: ThreadPoolExecutor) -> Iterator[int]:
        while True:
            yield sum(pool.map(one, range(len(clips))))

    with ThreadPoolExecutor(arguments.cores) as pool:
        return pace(batches(pool), time.perf_counter(), arguments.seconds)


def ours(num_processes: int) -> Callable[[argparse.Namespace, Source], Result]:
    """The stream with so many loader processes."""

    def run(arguments: argparse.Namespace, source: Source) -> Result:
        from trainer.clip_index import ClipIndex
        from trainer.dataset_columns import open_for_training
        from trainer.policy import BatchPolicy
        from trainer.stream import ClipStream, StreamConfig, read_all

        policy = BatchPolicy(movies_per_batch=MOVIES, clips_per_movie=CLIPS)
        has_cache = arguments.task == "fill" or any(source.cache.iterdir())
        config = StreamConfig(
            frame_size=FRAME_SIZE,
            crop="center",
            num_processes=num_processes,
            num_threads=max(1, arguments.cores // max(1, num_processes)),
            # Cold, the stream keeps nothing, as by default; its peers cannot do without.
            cache_dir=str(source.cache) if has_cache else "",
        )
        begin = time.perf_counter()
        dataset = open_for_training(source.uri("reelshards"), policy)
        if arguments.task == "fill":
            rows = range(dataset.clips.num_rows)
            return {"clips": sum(len(batch.clip) for batch in read_all(dataset, rows, config))}
        index = ClipIndex.from_dataset(dataset, policy)
        place = {}
        if arguments.task == "resume":
            with ClipStream(dataset, index, policy, config, seed=0) as stream:
                epoch, step = divmod(RESUME_STEP, stream.num_steps_per_epoch)
            place = {"epoch": epoch, "step": step, "steps_done": RESUME_STEP}
            begin = time.perf_counter()
            dataset = open_for_training(source.uri("reelshards"), policy)
            index = ClipIndex.from_dataset(dataset, policy)
        with ClipStream(dataset, index, policy, config, seed=0, **place) as stream:
            return pace((len(batch.clip) for batch in stream), begin, arguments.seconds)

    return run


def peer(library: str) -> Callable[[argparse.Namespace, Source], Result]:
    """One of the other libraries."""

    def run(arguments: argparse.Namespace, source: Source) -> Result:
        import torch

        torch.set_num_threads(1)
        # What a module imports is not its way of loading.
        with contextlib.suppress(ImportError):
            LOADERS[library](source)
        begin = time.perf_counter()
        loader = LOADERS[library](source)
        if arguments.task == "fill":
            return {"clips": sum(len(batch[0]) for batch in loader)}
        if arguments.task == "resume":
            loader = _resumed(library, loader, source)
            begin = begin if loader is None else time.perf_counter()
            if loader is None:
                return {"no_state": 1.0}
        return pace(_for_ever(loader), begin, arguments.seconds)

    return run


def _resumed(library: str, loader: Any, source: Source) -> Any:
    """A loader whose state says that `RESUME_STEP` steps are done; None when it has no state."""
    if not hasattr(loader, "state_dict"):
        return None
    numbers = iter(loader)
    next(numbers)
    state = loader.state_dict()
    del numbers
    num_steps = Sizes().num_clips // source.batch_size
    epoch, step = divmod(RESUME_STEP, num_steps)
    if library == "mosaic streaming":
        state.update(epoch=epoch, sample_in_epoch=step * source.batch_size)
    else:
        num_samples = step * source.batch_size
        place = {"current_epoch": epoch + 1, "num_samples_yielded": num_samples}
        place["sample_in_epoch"] = num_samples
        for part in (state, state["dataset"]):
            part.update({name: value for name, value in place.items() if name in part})
    fresh = LOADERS[library](source)
    fresh.load_state_dict(state)
    return fresh


def _for_ever(loader: Any) -> Iterator[int]:
    while True:
        for batch in loader:
            yield len(batch[0])


def pace(counts: Iterator[int], begin: float, seconds: float) -> Result:
    """Clips per second, and per second of CPU, once it has settled; the time to the first batch.

    The CPU time is that of this process and all its children, ended ones too.
    """
    next(counts)
    first = time.perf_counter() - begin
    if seconds <= 0:
        return {"first_batch_seconds": first}
    until = time.perf_counter() + SETTLE_SECONDS
    while time.perf_counter() < until:
        next(counts)
    start, cpu, num_clips = time.perf_counter(), cpu_seconds(), 0
    while time.perf_counter() - start < seconds:
        num_clips += next(counts)
    wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    return {
        "clips_per_second": num_clips / wall,
        "clips_per_cpu_second": num_clips / cpu,
        "first_batch_seconds": first,
    }


def cpu_seconds() -> float:
    """User and system time of this process and everything below it."""
    parent, ticks = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parent[int(entry.name)] = int(fields[1])
                # Own time and that of children that were waited for.
                ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    total = 0
    for process in ticks:
        above = process
        while above in parent and above != os.getpid():
            above = parent[above]
        total += ticks[process] if above == os.getpid() else 0
    return total / os.sysconf("SC_CLK_TCK")


WAYS: dict[str, Callable[[argparse.Namespace, Source], Result]] = {
    "limit": limit,
    "stream, threads": ours(0),
    "stream, 1 process": ours(1),
    "stream, 2 processes": ours(2),
    **{library: peer(library) for library in LOADERS},
}
