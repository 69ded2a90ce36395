"""Does the memory of a stream stay flat, and are its batches right, when its store fails for long?

    python -m benchmarks.faults.endurance [--minutes 30] [--rate 0.05] [--out FILE.md]

Movies of the tests' toy dataset are read from a server on loopback through
`tests.support.stores.fault_proxy`, which makes a share of all ranged reads fail: errors 500 and
503, reset connections, half responses, and 5 s without a response. One process trains nothing, but
requests a batch every `PAUSE_SECONDS`; its memory and that of its loader worker are read twice a
minute. Afterwards the same batches are read from the disk and compared.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.support import processor, serving
from shards_spec.dataset.reader import open_dataset
from tests.support.datasets.toy_dataset import write_toy_dataset
from tests.support.stores.fault_proxy import FaultProxy
from trainer.data.fetch.buffer_pool import MAX_FREE_BYTES
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy
from trainer.data.stream import Batch, ClipStream

POLICY = BatchPolicy(movies_per_batch=4, clips_per_movie=4, reads_per_movie=2)
SEED = 11
PAUSE_SECONDS = 0.1
SAMPLE_SECONDS = 30.0
NUM_PARTS = 10
MIB = 1024 * 1024


def main() -> None:
    """Run for the given time, compare the batches, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/endurance.md"))
    parser.add_argument("--consume", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.consume:
        consume(arguments.consume, arguments.minutes)
        return
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        path = Path(folder) / "bucket" / "data"
        write_toy_dataset(
            str(path), num_movies=16, clips_per_movie=60, height=64, width=96, shard_bytes=400_000
        )
        with (
            serving(Path(folder)) as server,
            FaultProxy(server, rate=arguments.rate, stall_seconds=5.0) as proxy,
        ):
            rows = list(_rows(proxy.url, arguments.minutes))
            counts = dict(proxy.counts)
        last = rows[-1]
        is_equal = last["digest"] == _digest_of(str(path), last["num_batches"])
    text = page(rows, counts, is_equal=is_equal, minutes=arguments.minutes)
    print(text)
    arguments.out.write_text(text)


def _rows(url: str, minutes: float) -> Iterator[dict[str, Any]]:
    """What the consuming process reports, one line after the other."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.faults.endurance",
        "--consume",
        "s3://bucket/data",
    ]
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    with subprocess.Popen(
        [*command, "--minutes", str(minutes)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"the stream ended with {process.returncode}")


def consume(uri: str, minutes: float) -> None:
    """Read batches for a while; a line of figures now and then, and at the end."""
    config = StreamConfig(frame_size=64, num_processes=1, num_threads=1)
    begin = time.monotonic()
    digest = hashlib.blake2b(digest_size=16)
    with ClipStream(open_dataset(uri), POLICY, config, seed=SEED) as stream:
        sampled = begin
        for batch in stream:
            add(digest, batch)
            now = time.monotonic()
            ends = now >= begin + 60 * minutes
            if ends or now >= sampled + SAMPLE_SECONDS:
                sampled = now
                stats = stream.stats()
                values = {
                    "minutes": (now - begin) / 60,
                    "num_batches": stats.num_batches,
                    "num_requests": stats.num_requests,
                    "num_retries": stats.num_retries,
                    "num_hedges": stats.num_hedges,
                    "own_mib": _private_mib(os.getpid()),
                    "worker_mib": sum(map(_private_mib, _children(os.getpid()))),
                    "num_files": len(os.listdir("/proc/self/fd")),
                    "digest": digest.hexdigest(),
                }
                print(json.dumps(values), flush=True)
            if ends:
                return
            time.sleep(PAUSE_SECONDS)


def add(digest: Any, batch: Batch) -> None:
    """Add a batch's clips and values to a digest."""
    for tensor in (batch.clip, batch.frames, batch.logmel):
        digest.update(tensor.numpy().tobytes())


def _digest_of(uri: str, num_batches: int) -> str:
    """The digest of as many batches read from the disk."""
    digest = hashlib.blake2b(digest_size=16)
    config = StreamConfig(frame_size=64, num_processes=0, num_threads=1)
    with ClipStream(open_dataset(uri), POLICY, config, seed=SEED) as stream:
        for _ in range(num_batches):
            add(digest, next(stream))
    return digest.hexdigest()


def _private_mib(pid: int) -> float:
    """Memory of a process that it shares with no file, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def page(
    rows: list[dict[str, Any]], counts: dict[str, int], *, is_equal: bool, minutes: float
) -> str:
    """The result file."""
    last = rows[-1]
    num_reads = sum(counts.values())
    faults = ", ".join(f"{counts[kind]:,} x {kind}" for kind in sorted(counts) if kind != "ok")
    lines = [
        "# A failing store for a long time",
        "",
        f"`python -m benchmarks.faults.endurance --minutes {minutes:g}`, {datetime.date.today()}, "
        f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}.",
        "",
        f"{last['num_batches']:,} batches of {POLICY.batch_size} clips in {last['minutes']:.1f} "
        f"minutes. {num_reads:,} ranged reads, of which {num_reads - counts.get('ok', 0):,} failed "
        f"({faults}); {last['num_retries']:,} retries and {last['num_hedges']:,} hedges. Batches "
        f"equal to those from the disk: {'yes' if is_equal else 'NO'}.",
        "",
        "| minutes | process of the stream, MiB | loader worker, MiB | open files |",
        "|---|---|---|---|",
    ]
    parts = min(NUM_PARTS, len(rows))
    for part in range(parts):
        own = rows[part * len(rows) // parts : (part + 1) * len(rows) // parts]
        figures = [max(row[key] for row in own) for key in ("own_mib", "worker_mib", "num_files")]
        lines.append("| {:.0f} | {:.1f} | {:.1f} | {:g} |".format(own[-1]["minutes"], *figures))
    lines += [
        "",
        f"The maximum in each {minutes / NUM_PARTS:g} minutes of `RssAnon`, read every "
        f"{SAMPLE_SECONDS:g} s. The worker keeps up to {MAX_FREE_BYTES // MIB} MiB of buffers for "
        "reuse, so its memory grows until it has as many as it ever needs at once. "
        f"A batch is requested every {PAUSE_SECONDS:g} s at most, so "
        "the rate of batches is not a measure of speed.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
