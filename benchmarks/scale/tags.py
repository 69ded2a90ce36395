"""Memory of `reelshards label --tags` by the number of clips.

    python -m benchmarks.scale.tags DATASET [--times 1 10 100] [--judge]

The movies of a small dataset are heard again and again, under new names, each number of times in a
fresh process. Without `--judge` only silence is looked for, which is faster.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.tags import tag_clips
from pipeline.tags.judge import load_judge
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.reader import Dataset, Movie, open_dataset
from shards_spec.process import peak_rss_bytes


@dataclass(frozen=True)
class Repeated:
    """A dataset whose movies come several times."""

    dataset: Dataset
    times: int

    def __iter__(self) -> Iterator[Movie]:
        for _ in range(self.times):
            yield from self.dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)


def main() -> None:
    """Print a row for each number of times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args()
    if len(options.times) > 1:
        for times in options.times:
            command = [sys.executable, "-m", "benchmarks.scale.tags", options.dataset]
            flags = ["--judge"] if options.judge else []
            subprocess.run([*command, "--times", str(times), *flags], check=True)
        return
    dataset = open_dataset(options.dataset)
    repeated: Any = Repeated(dataset, options.times[0])
    began = time.perf_counter()
    heard = tag_clips(repeated, load_judge() if options.judge else None, -60.0)
    table = ranges_table(heard.ranges, dataset.movies, Findings())
    seconds = time.perf_counter() - began
    num_clips = dataset.clips.num_rows * options.times[0]
    sys.stdout.write(
        f"| {num_clips:,} | {len(heard.ranges):,} | {seconds:.1f} s | "
        f"{peak_rss_bytes() / 2**20:,.0f} MiB | {table.num_rows:,} |\n"
    )


if __name__ == "__main__":
    main()
