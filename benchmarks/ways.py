"""The ways of `benchmarks.loader`: each gives batches of the same clips, and `pace` measures it.

The limit only decodes and crops film strips that are in memory, in one thread a core, into memory
that it uses again and again: no reading, no checksum, no parsing, nothing handed on. The limit with
reads also asks the storage for the bytes, as few and as large requests as the stream's.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from benchmarks.clip_sets import HEIGHT, NUM_PICTURES, WIDTH, Sizes, samples
from benchmarks.peers import FRAME_SIZE, LOADERS, NUM_FRAMES, Source
from shards_spec.recipe import Recipe
from shards_spec.sample import TAR_BLOCK, decode_logmel, padded
from trainer.decode import cached_memory

Result = dict[str, float]

#: Batches of other settings are still in the queues for so long after the first one, seconds.
SETTLE_SECONDS = 2.0

RESUME_STEP = 1_000_000

MOVIES, CLIPS = 4, 16


def limit(arguments: argparse.Namespace, _: Source) -> Result:
    """Decoding and cropping alone."""
    found = samples(Sizes())
    strips, logmels = zip(*(next(found) for _ in range(128)), strict=True)
    places = _Places(len(strips))

    def one(number: int) -> int:
        return places.fill(number, strips[number], logmels[number])

    def batches(pool: ThreadPoolExecutor) -> Iterator[int]:
        while True:
            yield sum(pool.map(one, range(len(strips))))

    with ThreadPoolExecutor(arguments.cores) as pool:
        return pace(batches(pool), time.perf_counter(), arguments.seconds)


def limit_with_reads(arguments: argparse.Namespace, source: Source) -> Result:
    """The same, and the ranges that the stream would ask for, read and not looked at.

    It knows beforehand where in a range the strips and log-mels lie.
    """
    from shards_spec.reader import open_dataset

    # Warm, the stream's remote clips are in files on this machine.
    kept = dataclasses.replace(source, url="") if any(source.cache.iterdir()) else source
    dataset = open_dataset(kept.uri("reelshards"))
    found = samples(Sizes())
    sizes = [tuple(map(len, next(found))) for _ in range(NUM_PICTURES)]
    clips = dataset.clips.select(["shard", "tar_offset", "tar_bytes"]).to_pylist()
    firsts = np.random.default_rng(0).permutation(
        [at for at in range(0, len(clips)) if at % Sizes().clips_per_movie % CLIPS == 0]
    )
    places = _Places(CLIPS * arguments.cores)
    free = deque(range(arguments.cores))

    def one(first: int) -> int:
        run = clips[first : first + CLIPS]
        run = [clip for clip in run if clip["shard"] == run[0]["shard"]]
        start, end = run[0]["tar_offset"], run[-1]["tar_offset"] + run[-1]["tar_bytes"]
        data = dataset.storage.get_range(run[0]["shard"], start, end - start)
        part = free.popleft()
        for at, clip in enumerate(run):
            strip_size, logmel_size = sizes[(first + at) % NUM_PICTURES]
            strip = clip["tar_offset"] - start + TAR_BLOCK
            logmel = clip["tar_offset"] - start + clip["tar_bytes"] - padded(logmel_size)
            places.fill(
                part * CLIPS + at,
                data[strip : strip + strip_size],
                data[logmel : logmel + logmel_size],
            )
        free.append(part)
        return len(run)

    def batches(pool: ThreadPoolExecutor) -> Iterator[int]:
        while True:
            yield from pool.map(one, firsts.tolist())

    with ThreadPoolExecutor(arguments.cores) as pool:
        return pace(batches(pool), time.perf_counter(), arguments.seconds)


class _Places:
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
            memory = self._scratch.memory = cached_memory((NUM_FRAMES, HEIGHT, WIDTH, 3))
        simplejpeg.decode_jpeg(strip, "RGB", fastupsample=True, buffer=memory.reshape(-1))
        top, left = (HEIGHT - FRAME_SIZE) // 2, (WIDTH - FRAME_SIZE) // 2
        self._frames[number] = memory[:, top : top + FRAME_SIZE, left : left + FRAME_SIZE]
        self._logmels[number] = decode_logmel(logmel)
        return 1


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
    "limit, with reads": limit_with_reads,
    "stream, threads": ours(0),
    "stream, 1 process": ours(1),
    "stream, 2 processes": ours(2),
    **{library: peer(library) for library in LOADERS},
}
