"""The ways of `benchmarks.loader`: each yields batches of the same clips, and `pace` measures it.

`limit, with reads` is the limit (`pace`), and asks the storage for the bytes too, in as few and as
large requests as the stream's.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.loaders.clip_sets import NUM_PICTURES, Sizes, samples
from benchmarks.loaders.pace import Places, Result, pace
from benchmarks.loaders.peers import FRAME_SIZE, LOADERS, Source
from shards_spec.sample import TAR_BLOCK, padded

RESUME_STEP = 1_000_000

MOVIES, CLIPS = 4, 16


def limit_with_reads(arguments: argparse.Namespace, source: Source) -> Result:
    """Decoding and cropping, and the ranges that the stream would ask for, read and not looked at.

    It knows beforehand where in a range the strips and log-mels lie.
    """
    from shards_spec.dataset.reader import open_dataset

    # Warm, the stream's remote clips are in files on this machine.
    kept = dataclasses.replace(source, url="") if any(source.cache.iterdir()) else source
    dataset = open_dataset(kept.uri("reelshards"))
    found = samples(Sizes())
    sizes = [tuple(map(len, next(found))) for _ in range(NUM_PICTURES)]
    clips = dataset.clips.select(["shard", "tar_offset", "tar_bytes"]).to_pylist()
    firsts = np.random.default_rng(0).permutation(
        [at for at in range(0, len(clips)) if at % Sizes().clips_per_movie % CLIPS == 0]
    )
    # Twice the cores: some wait for bytes while others decode.
    num_threads = 2 * arguments.cores
    places = Places(CLIPS * num_threads)
    free = deque(range(num_threads))

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
        under_way: deque[Future[int]] = deque()
        for first in itertools.cycle(firsts.tolist()):
            under_way.append(pool.submit(one, first))
            if len(under_way) > num_threads:
                yield under_way.popleft().result()

    with ThreadPoolExecutor(num_threads) as pool:
        begin = time.perf_counter()
        return pace(batches(pool), begin, arguments.seconds, arguments.cores)


def ours(num_processes: int) -> Callable[[argparse.Namespace, Source], Result]:
    """The stream with so many loader processes."""

    def run(arguments: argparse.Namespace, source: Source) -> Result:
        from trainer.data.loader import StreamConfig
        from trainer.data.plan import BatchPolicy
        from trainer.data.stream import ClipStream, open_for_training, read_all

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
        place = {}
        if arguments.task == "resume":
            with ClipStream(dataset, policy, config, seed=0) as stream:
                epoch, step = divmod(RESUME_STEP, stream.num_steps_per_epoch)
            place = {"epoch": epoch, "step": step, "steps_done": RESUME_STEP}
            begin = time.perf_counter()
            dataset = open_for_training(source.uri("reelshards"), policy)
        with ClipStream(dataset, policy, config, seed=0, **place) as stream:
            counts = (len(batch.clip) for batch in stream)
            return pace(counts, begin, arguments.seconds, arguments.cores)

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
        return pace(_for_ever(loader), begin, arguments.seconds, arguments.cores)

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


WAYS: dict[str, Callable[[argparse.Namespace, Source], Result]] = {
    "limit, with reads": limit_with_reads,
    "stream, threads": ours(0),
    "stream, 1 process": ours(1),
    "stream, 2 processes": ours(2),
    **{library: peer(library) for library in LOADERS},
}
