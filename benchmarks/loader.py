"""Clips per second of the stream beside webdataset's usual pipeline and beside the limit.

    python -m benchmarks.loader --data URI [--seconds 10] [--cores 2] [--rounds 3] [--out FILE]

All ways deliver the same thing from the same shards: film strips decoded and cropped to a square,
log-mels, batches of m x k clips. They run in turn, several rounds, each in a process of its own and
on the same cores, and are compared as ratios within a round. The limit is decoding alone, from
memory, in as many threads as there are cores. `URI` may be local or S3; for S3 on loopback start
`moto_server` and set the usual AWS variables.

Time to first batch counts from an opened dataset, so it holds the start of processes and the plan.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

Result = dict[str, float]
FRAME_SIZE = 112


def main() -> None:
    """Run every way in turn and print a table of medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--cores", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--movies", type=int, default=4)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
        print(json.dumps(WAYS[arguments.way](arguments)))
        return
    found: dict[str, list[Result]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.loader", *sys.argv[1:], "--way", way]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
            print(way, found[way][-1], file=sys.stderr)
    text = report(found, arguments)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def ours(num_processes: int, *, warm: bool = False) -> Callable[[argparse.Namespace], Result]:
    """The stream with so many loader processes; `warm` has every clip in its cache."""

    def run(arguments: argparse.Namespace) -> Result:
        from trainer.clip_index import ClipIndex
        from trainer.dataset_columns import open_for_training
        from trainer.policy import BatchPolicy
        from trainer.stream import ClipStream, StreamConfig, read_all

        policy = BatchPolicy(movies_per_batch=arguments.movies, clips_per_movie=arguments.clips)
        dataset = open_for_training(arguments.data, policy)
        with tempfile.TemporaryDirectory() as folder:
            config = StreamConfig(
                frame_size=FRAME_SIZE,
                num_processes=num_processes,
                num_threads=max(1, arguments.cores // max(1, num_processes)),
                cache_dir=folder if warm else "",
            )
            if warm:
                for _ in read_all(dataset, range(dataset.clips.num_rows), config):
                    pass
            begin = time.perf_counter()
            index = ClipIndex.from_dataset(dataset, policy)
            with ClipStream(dataset, index, policy, config, seed=0) as stream:
                return pace((len(batch.clip) for batch in stream), begin, arguments.seconds)

    return run


def webdataset(arguments: argparse.Namespace) -> Result:
    """Shards shuffled, samples shuffled in a buffer, decoded and batched in loader processes."""
    import io

    import torch
    import webdataset as wds

    from shards_spec.reader import open_dataset
    from shards_spec.sample import decode_strip

    torch.set_num_threads(1)
    dataset = open_dataset(arguments.data)
    shards = sorted(set(dataset.clips["shard"].to_pylist()))
    is_local = dataset.storage.is_local
    urls = [
        str(dataset.storage.local_path(shard))
        if is_local
        else f"pipe:aws s3 cp {dataset.storage.uri_of(shard)} -"
        for shard in shards
    ]
    num_frames = dataset.recipe.num_frames

    def decode(sample: dict[str, Any]) -> tuple[Any, Any]:
        frames = decode_strip(sample["frames.jpg"], num_frames)
        top, left = ((size - FRAME_SIZE) // 2 for size in frames.shape[1:3])
        crop = frames[:, top : top + FRAME_SIZE, left : left + FRAME_SIZE]
        return np.ascontiguousarray(crop), np.load(io.BytesIO(sample["logmel.npy"]))

    size = arguments.movies * arguments.clips
    begin = time.perf_counter()
    samples = wds.WebDataset(urls, resampled=True, shardshuffle=False, nodesplitter=None)
    pipeline = samples.shuffle(4 * size).map(decode).batched(size)
    loader = wds.WebLoader(pipeline, batch_size=None, num_workers=arguments.cores)
    return pace((len(batch[0]) for batch in loader), begin, arguments.seconds)


def limit(arguments: argparse.Namespace) -> Result:
    """Checksum, decoding and cropping of clips that are in memory, in one thread a core."""
    from shards_spec.reader import open_dataset
    from trainer.clip_places import take_places
    from trainer.decode import ClipDecoder, check_crc32c

    dataset = open_dataset(arguments.data)
    rows = np.arange(min(dataset.clips.num_rows, 512))
    places = take_places(dataset.clips, rows)
    read = dataset.storage.get_range
    data = [read(place.shard, place.tar_offset, place.tar_bytes) for place in places]
    recipe, decoder = dataset.recipe, ClipDecoder(dataset.recipe)
    frames = np.empty((len(rows), recipe.num_frames, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    logmel = np.empty((len(rows), recipe.n_mels, recipe.num_mel_frames), np.float16)

    def decode(number: int) -> int:
        place, clip = places[number], data[number]
        check_crc32c(clip, place)
        decoder.decode_into(clip, place, frames[number], logmel[number], top=0, left=0)
        return 1

    def clips() -> Iterator[int]:
        with ThreadPoolExecutor(arguments.cores) as pool:
            while True:
                yield sum(pool.map(decode, range(len(rows))))

    return pace(clips(), time.perf_counter(), arguments.seconds)


def pace(counts: Iterator[int], begin: float, seconds: float) -> Result:
    """Clips per second after the first batch, and the time until it."""
    next(counts)
    start = time.perf_counter()
    num_clips = 0
    while time.perf_counter() - start < seconds:
        num_clips += next(counts)
    rate = num_clips / (time.perf_counter() - start)
    return {"clips_per_second": rate, "first_batch_seconds": start - begin}


WAYS: dict[str, Callable[[argparse.Namespace], Result]] = {
    "limit": limit,
    "stream, threads": ours(0),
    "stream, 1 process": ours(1),
    "stream, 2 processes": ours(2),
    "stream, 1 process, warm cache": ours(1, warm=True),
    "webdataset": webdataset,
}


def report(found: dict[str, list[Result]], arguments: argparse.Namespace) -> str:
    """Medians over rounds; ratios are taken within each round first."""
    lines = [
        "# Clips per second",
        "",
        f"`python -m benchmarks.loader`, {datetime.date.today()}, {arguments.cores} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end, {arguments.rounds} rounds of {arguments.seconds:g} "
        f"s, batches of {arguments.movies} x {arguments.clips}. The stream reads chunks in the "
        "order of its plan, once an epoch; webdataset reads whole shards through a buffer.",
        "",
        "| way | clips/s per core | of the limit | first batch, s |",
        "|---|---|---|---|",
    ]
    for way, results in found.items():
        rates = [one["clips_per_second"] for one in results]
        limits = [one["clips_per_second"] for one in found["limit"]]
        share = statistics.median(a / b for a, b in zip(rates, limits, strict=True))
        first = statistics.median(one["first_batch_seconds"] for one in results)
        rate = statistics.median(rates) / arguments.cores
        lines.append(f"| {way} | {rate:.1f} | {share:.2f} | {first:.2f} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
