"""Does `trainer plan --supply.clips-per-second` predict how long training waits for its data?

    python -m benchmarks.scale.supply [--steps 60]

Clips of the tests' toy dataset come from a server on loopback with a latency and a bandwidth. A
loop takes batches and sleeps for as long as a training step would take; how long it waited is
compared with the simulation of the same steps. Several stores, each in one process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.support import RESULTS, processor, serving
from shards_spec.dataset.reader import Dataset, open_dataset
from tests.support.datasets.toy_dataset import write_toy_dataset
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.stream import ClipStream
from trainer.settings import SupplyConfig
from trainer.supply import SupplyForecast, forecast

POLICY = BatchPolicy(movies_per_batch=8, clips_per_movie=4, reads_per_movie=2)
SEED = 3


@dataclass(frozen=True)
class Case:
    """A training and its store."""

    latency_ms: float
    megabytes_per_second: float
    reads_in_flight: int
    clips_per_second: float


CASES = (
    Case(20.0, 50.0, 16, 150.0),
    Case(200.0, 50.0, 16, 150.0),
    Case(100.0, 50.0, 4, 150.0),
    Case(100.0, 50.0, 4, 100.0),
    Case(200.0, 50.0, 4, 150.0),
    Case(20.0, 1.5, 16, 150.0),
    Case(20.0, 1.0, 16, 150.0),
    Case(20.0, 0.7, 16, 100.0),
)


def main() -> None:
    """Measure every case and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS / "supply.md")
    options = parser.parse_args()
    text = page(list(measured(options.steps)), options.steps)
    print(text)
    options.out.write_text(text)


def measured(steps: int) -> Iterator[tuple[Case, SupplyForecast, float]]:
    """Each case with its forecast and the measured share of time spent waiting."""
    os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="any")
    with tempfile.TemporaryDirectory(prefix="supply-") as folder:
        path = Path(folder) / "bucket" / "data"
        write_toy_dataset(
            str(path), num_movies=16, clips_per_movie=60, height=64, width=96, shard_bytes=400_000
        )
        for case in CASES:
            rate = case.megabytes_per_second * 1e6 / (1 << 20)
            with serving(Path(folder), rate, latency_seconds=case.latency_ms / 1e3) as server:
                os.environ["AWS_ENDPOINT_URL"] = server
                yield case, *compare(open_dataset("s3://bucket/data"), case, steps)


def compare(dataset: Dataset, case: Case, steps: int) -> tuple[SupplyForecast, float]:
    """The forecast of a case, and its measured share of time spent waiting."""
    config = StreamConfig(
        frame_size=64,
        num_processes=1,
        num_threads=2,
        reads_in_flight=case.reads_in_flight,
        max_gap_bytes=0,
    )
    supply = SupplyConfig(
        clips_per_second=case.clips_per_second,
        latency_ms=case.latency_ms,
        megabytes_per_second=case.megabytes_per_second,
        steps=steps,
    )
    predicted = forecast(dataset, ClipIndex.from_dataset(dataset, POLICY), SEED, config, supply)
    step_seconds = POLICY.batch_size / case.clips_per_second
    with ClipStream(dataset, POLICY, config, seed=SEED) as stream:
        waited = 0.0
        for number in range(predicted.num_steps):
            begin = time.perf_counter()
            next(stream)
            # The first batch also waits for the worker process to start.
            waited += (time.perf_counter() - begin) if number else 0.0
            time.sleep(step_seconds)
    working = step_seconds * (predicted.num_steps - 1)
    return predicted, waited / (waited + working)


def page(rows: list[tuple[Case, SupplyForecast, float]], steps: int) -> str:
    """The result file."""
    lines = [
        "# A simulated training compared with a measured one",
        "",
        f"`python -m benchmarks.scale.supply --steps {steps}`, {datetime.date.today()}, "
        f"{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}, load "
        f"{os.getloadavg()[0]:.1f} at the end.",
        "",
        f"Batches of {POLICY.batch_size} clips; one loader process with two threads.",
        "",
        "| latency, ms | MB/s | reads in flight | step, clips/s | waiting, simulated | measured "
        "| limited by |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, predicted, wait in rows:
        fields = [f"{value:g}" for value in dataclasses.astuple(case)]
        lines.append(
            f"| {' | '.join(fields)} | {predicted.wait_fraction:.3f} | {wait:.3f} "
            f"| {predicted.limit} |"
        )
    worst = max(abs(predicted.wait_fraction - wait) for _, predicted, wait in rows)
    lines += ["", f"Shares of time after the first batch; largest difference {worst:.3f}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
