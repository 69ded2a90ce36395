"""Share of step time that training R(2+1)D-18 on one GPU waits for data; the goal is below 2 %.

    python -m benchmarks.gpu [--folder data/bench-clips] [--steps 300] [--data URI]
                             [--processes 8] [--threads 2]

Trains the recipe `r2plus1d18` as `python -m trainer train` does, on the clips of `clip_sets` (or on
a dataset of one's own) and reads the figures from the run's `metrics.jsonl`. Lines of the first
third are left out: compilers and caches warm up. Without a CUDA device it says so and ends with 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.loaders import Sizes, make

NAMES = (
    "data/wait_fraction", "time/step_seconds", "throughput/clips_per_second",
    "data/queue_batches", "data/read_occupancy", "data/decode_occupancy",
)  # fmt: skip
GOAL = 0.02


def main() -> int:
    """Train, and write the table. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data/bench-clips"))
    parser.add_argument("--data", default="")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--processes", type=int, default=0, help="0 keeps the recipe's number")
    parser.add_argument("--threads", type=int, default=0, help="likewise, in each of them")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.md"))
    arguments = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("benchmarks.gpu: no CUDA device here, nothing was measured", file=sys.stderr)
        return 2
    data = arguments.data
    if not data:
        make(arguments.folder, Sizes(), ["reelshards"])
        data = str(arguments.folder / "reelshards")
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        config = _config(arguments)
        _train(data, Path(folder), config)
        lines = [json.loads(text) for text in (Path(folder) / "metrics.jsonl").open()]
    found = {
        name: statistics.median(line[name] for line in lines[len(lines) // 3 :] if name in line)
        for name in NAMES
    }
    text = _page(found, config, arguments, torch.cuda.get_device_name())
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text)
    return 0


def _config(arguments: argparse.Namespace) -> Any:
    """The recipe, without tests on held-out movies and with one checkpoint at the end."""
    from trainer.config import r2plus1d18

    recipe = r2plus1d18()
    stream = dataclasses.replace(
        recipe.stream,
        num_processes=arguments.processes or recipe.stream.num_processes,
        num_threads=arguments.threads or recipe.stream.num_threads,
    )
    steps = arguments.steps
    return dataclasses.replace(
        recipe,
        **{"steps": steps, "log_every": max(1, steps // 30), "eval_every": 0},
        checkpoint_every=steps,
        optimizer=dataclasses.replace(recipe.optimizer, warmup_steps=min(1000, steps)),
        stream=stream,
        tensorboard=False,
    )


def _train(data: str, run: Path, config: Any) -> None:
    from trainer.train import train

    train(data, run, config)


def _page(found: dict[str, float], config: Any, arguments: argparse.Namespace, device: str) -> str:
    import torch

    wait = found["data/wait_fraction"]
    stream, policy = config.stream, config.policy
    lines = [
        "# Waiting for data on a GPU",
        "",
        f"`python -m benchmarks.gpu --steps {arguments.steps}`, {datetime.date.today()}, {device}, "
        f"{os.cpu_count()} cores, torch {torch.__version__}. R(2+1)D-18, {config.precision} "
        f"precision, batches of {policy.movies_per_batch} x {policy.clips_per_movie}, "
        f"{stream.num_processes} loader processes of {stream.num_threads} threads. Medians over "
        "log lines after the first third.",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {value:.4g} |" for name, value in found.items()),
        "",
        f"Waiting for data: {wait:.2%} of step time; the goal of below {GOAL:.0%} is "
        f"{'reached' if wait < GOAL else 'missed'}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
