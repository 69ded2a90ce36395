"""Plans of many clips: time and memory, on one core, with only the index of a dataset.

    python -m benchmarks.plan [--clips 10000000] [--movies 5000] [--out benchmarks/results/plan.md]

For each size a fresh process opens an index file of that many clips as `train` does, makes the plan
of an epoch, and looks up batches. The slopes between the smallest and the largest size show what
100 million clips would take.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support import processor
from shards_spec import layout
from shards_spec.process import peak_rss_bytes
from shards_spec.recipe import Recipe
from shards_spec.schema import SPEC_VERSION
from shards_spec.schema.tables import CLIPS_SCHEMA, movies_table

CLIPS_PER_SHARD = 1000
ROWS_PER_GROUP = 1 << 17


def main() -> None:
    """Measure sizes up to `--clips`, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000_000)
    parser.add_argument("--movies", type=int, default=5_000)
    parser.add_argument("--reads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.reads)))
        return
    sizes = [arguments.clips // 10, arguments.clips // 2, arguments.clips]
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_index(Path(folder), size, max(64, arguments.movies * size // arguments.clips))
            command = [sys.executable, "-m", "benchmarks.plan", "--measure", folder]
            command += ["--reads", str(arguments.reads)]
            # One core, however many the machine has.
            os_core = {min(os.sched_getaffinity(0))}
            done = subprocess.run(
                command,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=lambda core=os_core: os.sched_setaffinity(0, core),
            )
            rows.append(json.loads(done.stdout))
            print(rows[-1], file=sys.stderr)
    text = report(rows, arguments.reads)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)


def write_index(folder: Path, num_clips: int, num_movies: int) -> None:
    """A dataset without shards: movies of log-normal length, clips in random order in shards."""
    generator = np.random.default_rng(0)
    weight = generator.lognormal(0.0, 0.5, num_movies)
    bounds = np.round(np.cumsum(weight) / weight.sum() * num_clips).astype(np.int64)
    path = folder / layout.CLIPS_PARQUET
    path.parent.mkdir(parents=True)
    with pq.ParquetWriter(path, CLIPS_SCHEMA) as writer:
        pending: list[pa.Table] = []
        for movie, (start, stop) in enumerate(zip([0, *bounds[:-1]], bounds, strict=True)):
            if stop > start:
                pending.append(movie_table(movie, int(stop - start), generator))
            if sum(table.num_rows for table in pending) >= ROWS_PER_GROUP or stop == num_clips:
                writer.write_table(pa.concat_tables(pending)) if pending else None
                pending = []
    pq.write_table(movies_table([]), folder / layout.MOVIES_PARQUET)
    info = {"spec_version": SPEC_VERSION, "recipe": Recipe().to_json()}
    (folder / layout.DATASET_JSON).write_text(json.dumps(info))


def movie_table(movie: int, num_clips: int, generator: np.random.Generator) -> pa.Table:
    """The rows of one movie."""
    number = generator.permutation(num_clips)
    place = np.arange(num_clips)
    name = f"movie-{movie:06d}"
    start = number * 2_000_000_000
    known = {
        "clip_id": pa.array([f"{name}_{n:06d}" for n in number.tolist()]),
        "movie_id": pa.array([name] * num_clips),
        "group": pa.array([name] * num_clips),
        "shard": pa.array([layout.shard_key(name, n) for n in (place // CLIPS_PER_SHARD).tolist()]),
        "tar_offset": pa.array(place % CLIPS_PER_SHARD * 65_536),
        "tar_bytes": pa.array(np.full(num_clips, 65_536)),
        "crc32c": pa.array(generator.integers(1 << 32, size=num_clips), pa.uint32()),
        "start_ns": pa.array(start),
        "end_ns": pa.array(start + 2_000_000_000),
    }
    columns = [
        known.get(field.name, pa.array(np.ones(num_clips, np.int64)).cast(field.type))
        for field in CLIPS_SCHEMA
    ]
    return pa.table(columns, schema=CLIPS_SCHEMA)


def measure(folder: str, reads: int) -> dict[str, float]:
    """Open, index, plan, and look up batches; seconds and bytes."""
    from trainer.data.plan import BatchPolicy, ClipIndex
    from trainer.data.plan.epoch_plan import plan_epoch
    from trainer.data.stream import open_for_training
    from trainer.plan_report import describe

    policy = BatchPolicy(movies_per_batch=16, clips_per_movie=16, reads_per_movie=reads)
    before = peak_rss_bytes()
    times = [time.perf_counter()]
    cpu = time.process_time()
    dataset = open_for_training(folder, policy)
    times.append(time.perf_counter())
    index = ClipIndex.from_dataset(dataset, policy)
    times.append(time.perf_counter())
    plan = plan_epoch(index, policy, seed=0, epoch=0)
    times.append(time.perf_counter())
    cpu = time.process_time() - cpu
    steps = np.random.default_rng(0).integers(plan.num_steps, size=1000).tolist()
    begin = time.perf_counter()
    for step in steps:
        plan.for_rank(step, 0, 1)
    lookup = (time.perf_counter() - begin) / len(steps)
    opened, indexed, planned = np.diff(times).tolist()
    peak = peak_rss_bytes()
    num_steps = plan.num_steps
    del plan
    begin = time.perf_counter()
    described = describe(index, seed=0, epoch=0)
    reported = time.perf_counter() - begin
    assert described.num_eligible == index.num_eligible
    return {
        "clips": index.num_eligible,
        "movies": len(index.group_names),
        "steps": num_steps,
        "open_seconds": opened,
        "index_seconds": indexed,
        "plan_seconds": planned,
        "cpu_seconds": cpu,
        "batch_microseconds": lookup * 1e6,
        "start_mib": before / 1024,
        "peak_mib": peak / 1024**2,
        "report_seconds": reported,
    }


def report(rows: list[dict[str, float]], reads: int) -> str:
    """The result file."""
    names = list(rows[0])
    lines = [
        "# Plans of many clips",
        "",
        f"`python -m benchmarks.plan`, {datetime.date.today()}, one core of {processor()} "
        f"({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end), Python "
        f"{platform.python_version()}, numpy {np.__version__}, pyarrow "
        f"{importlib.metadata.version('pyarrow')}. Policy: m = 16, k = 16, r = {reads}.",
        "",
        "| " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(f"{row[name]:,.4g}" if row[name] < 100 else f"{row[name]:,.0f}"
                            for name in names) + " |" for row in rows),
        "",
        "Report is what `python -m trainer plan` takes beyond opening and the index: plans of four "
        "epochs, gaps and reads of all batches; only pairs that meet again are a sample (100,000 "
        "of each kind). Open, index, plan and report are wall times on a core shared with the load "
        "above; CPU seconds are of the first three together, as is the peak of memory.",
        "",
    ]  # fmt: skip
    last, before = rows[-1], rows[0]
    clips = last["clips"] - before["clips"]
    # CPU seconds: on one core, what the same would take on a quiet machine.
    total = [row["cpu_seconds"] for row in (before, last)]
    seconds, mib = (total[1] - total[0]) / clips, (last["peak_mib"] - before["peak_mib"]) / clips
    far = 100_000_000 - last["clips"]
    lines += [
        f"Slopes: {seconds * 1e6:.2f} CPU seconds and {mib * 1e6:.0f} MiB for each million clips; "
        f"100 million clips would take about {total[1] + far * seconds:.0f} s and "
        f"{(last['peak_mib'] + far * mib) / 1024:.0f} GiB (by extrapolation, not measured).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
