"""Training on one GPU: steps per second, memory, loading, and a real run; in at most six minutes.

    python -m benchmarks.gpu [--seconds 350] [--steps 60] [--folder data/bench-clips] [--tiny]
                             [--out benchmarks/results/gpu.md]

Makes its own dataset of noise, runs the tests that need a GPU, then measures: training steps of the
recipe `r2plus1d18` and of simpler ways to run the same network, memory by what the backward pass
recomputes, the loader by processes and threads, and a training of 60 steps from disk. Writes one
page and its figures as JSON after each part, so that a run that is cut off leaves what it has.
Parts that no longer fit in `--seconds` are named and left out.

`--tiny` runs every part with a few small clips on any machine; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.loaders.clip_sets import Sizes, make
from benchmarks.on_gpu.page import page
from benchmarks.on_gpu.steps import Variant, copy_rate, matrix_rate, measure, with_model
from benchmarks.on_gpu.variants import memory_variants, step_variants
from trainer.config import TrainConfig
from trainer.config.recipes import r2plus1d18
from trainer.data.stream import ClipStream, open_for_training
from trainer.models import build_model
from trainer.ranks.world import default_device
from trainer.runs.learning.memory import GIB, expected_bytes
from trainer.settings.model import InputConfig
from trainer.train import train

#: Loader processes and threads in each; -1 is what the recipe chooses.
SHAPES = ((0, 4), (4, 3), (8, 2), (12, 1), (-1, 1))

#: Figures of a run that the page shows.
RUN_FIGURES = (
    "throughput/clips_per_second", "throughput/tflops_per_device", "throughput/mfu",
    "time/step_seconds", "data/wait_fraction", "data/queue_batches", "data/read_occupancy",
    "data/decode_occupancy", "memory/peak_gib",
)  # fmt: skip


class Report:
    """Figures by part; written after each."""

    def __init__(self, out: Path, seconds: float, command: str) -> None:
        self._out, self._until = out, time.monotonic() + seconds
        self.figures: dict[str, Any] = {
            "command": command, "date": str(datetime.date.today()), "left_out": [], "failed": {}
        }  # fmt: skip

    def has_time(self, name: str, seconds: float) -> bool:
        """Whether a part of that length still fits; it is noted if not."""
        if time.monotonic() + seconds <= self._until:
            return True
        self.figures["left_out"].append(name)
        return False

    def part(self, name: str, run: Callable[[], Any], seconds: float = 0.0) -> None:
        """Run a part and write down what it returns, or how it failed."""
        if not self.has_time(name, seconds):
            return
        begin = time.monotonic()
        try:
            self.figures[name] = run()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the other parts still count
            self.figures["failed"][name] = f"{type(error).__name__}: {error}"[:500]
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"{name}: {time.monotonic() - begin:.1f} s", flush=True)
        self.write()

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table, to add to."""
        found: list[dict[str, Any]] = self.figures.setdefault(name, [])
        return found

    def write(self) -> None:
        """Page and figures."""
        self._out.parent.mkdir(parents=True, exist_ok=True)
        self._out.with_suffix(".json").write_text(json.dumps(self.figures, indent=1) + "\n")
        self._out.write_text(page(self.figures))


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and write the page. Returns the exit code: 1 when a part failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("data/bench-clips"))
    parser.add_argument("--seconds", type=float, default=350.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/gpu.md"))
    arguments = parser.parse_args(words)
    device = default_device()
    if device.type != "cuda" and not arguments.tiny:
        print("benchmarks.gpu: there is no CUDA device; --tiny runs anywhere", file=sys.stderr)
        return 2
    tiny = arguments.tiny
    recipe = tiny_recipe() if tiny else r2plus1d18()
    # Any network will do for the small run's loop.
    trained = with_model(recipe, video="small", audio="small") if tiny else recipe
    sizes = Sizes(num_movies=6, clips_per_movie=8) if tiny else Sizes()
    options = f"--steps {arguments.steps}{' --tiny' if tiny else ''}"
    report = Report(arguments.out, arguments.seconds, f"python -m benchmarks.gpu {options}")
    data = str(arguments.folder / "reelshards")
    report.part("dataset", lambda: make(arguments.folder, sizes, ["reelshards"]))
    report.part("machine", lambda: machine(device))
    _steps(report, "steps", step_variants(tiny=tiny, first=True), recipe, device)
    report.part("training", lambda: training(data, trained, arguments.steps), seconds=40)
    _memory(report, recipe, device, tiny=tiny)
    report.part("loader", lambda: loader(data, recipe, device, 1.0 if tiny else 3.0), seconds=25)
    if device.type == "cuda":
        report.part("tests", run_tests, seconds=80)
    _steps(report, "steps", step_variants(tiny=tiny, first=False), recipe, device)
    report.write()
    print(page(report.figures))
    return 1 if report.figures["failed"] else 0


def tiny_recipe() -> TrainConfig:
    """The recipe with few small clips, in float32."""
    recipe = r2plus1d18()
    policy = dataclasses.replace(
        recipe.policy,
        movies_per_batch=2,
        clips_per_movie=2,
        reads_per_movie=1,
        heldout_fraction=0.2,
    )
    inputs = InputConfig(frame_size=16, num_frames=2)
    return dataclasses.replace(
        recipe,
        precision="fp32",
        policy=policy,
        stream=dataclasses.replace(recipe.stream, frame_size=16, num_processes=0, num_threads=1),
        model=dataclasses.replace(recipe.model, inputs=inputs),
    )


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on, and what it can do."""
    is_cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else "CPU",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if is_cuda else None,
        "copy_tb_per_s": copy_rate(device) / 1e12,
        "matrix_tflops": matrix_rate(device) / 1e12,
    }


def run_tests() -> dict[str, Any]:
    """The tests that need a GPU, in a process of their own."""
    root = Path(__file__).parents[1]
    # The other modules need not be importable: some of them ask for packages of development.
    modules = [
        str(path.relative_to(root))
        for path in sorted((root / "tests/trainer").rglob("test_*.py"))
        if "pytest.mark.gpu" in path.read_text()
    ]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    command += modules
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, timeout=150, check=False
    )
    lines = done.stdout.strip().splitlines() or [""]
    # With the reasons, as nobody may be able to ask again.
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E   "))][:20]
    return {"exit_code": done.returncode, "summary": lines[-1], "failed": failed}


def _steps(
    report: Report,
    name: str,
    variants: Sequence[Variant],
    recipe: TrainConfig,
    device: torch.device,
) -> None:
    rows = report.rows(name)
    is_tiny = device.type != "cuda"
    num_steps, num_warm = (1, 0) if is_tiny else (8, 4)
    for variant in variants:

        def run(variant: Variant = variant) -> None:
            rows.append(dataclasses.asdict(measure(variant, recipe, device, num_steps, num_warm)))

        report.part(f"step: {variant.name}", run, 0.0 if is_tiny else variant.seconds)
        report.figures.pop(f"step: {variant.name}", None)


def _memory(report: Report, recipe: TrainConfig, device: torch.device, *, tiny: bool) -> None:
    _steps(report, "memory", memory_variants(tiny=tiny), recipe, device)
    policy = recipe.policy
    num_clips = policy.movies_per_batch * policy.clips_per_movie
    model = build_model(recipe.model, 0)
    expected = {}
    for variant in memory_variants(tiny=tiny):
        config = variant.change(recipe)
        sizes: dict[str, float] = dict(
            expected_bytes(
                model, config, num_clips, config.model.inputs.num_frames, config.accumulate
            )
        )
        expected[variant.name] = sizes[variant.recompute] / GIB
    report.figures["expected_gib"] = expected
    report.write()


def loader(
    data: str, recipe: TrainConfig, device: torch.device, seconds: float
) -> list[dict[str, Any]]:
    """Clips per second of the stream alone, by processes and threads."""
    dataset = open_for_training(data, recipe.policy)
    rows = []
    for processes, threads in SHAPES:
        config = dataclasses.replace(
            recipe.stream,
            **{"num_processes": processes, "num_threads": threads},
            pin_memory=device.type == "cuda",
        ).on_this_machine()
        with ClipStream(dataset, recipe.policy, config, seed=0) as stream:
            for _ in range(4):
                next(stream)
            begin, num_clips = time.perf_counter(), 0
            while time.perf_counter() - begin < seconds:
                num_clips += len(next(stream).clip)
            rate = num_clips / (time.perf_counter() - begin)
        rows.append(
            {
                "processes": config.num_processes,
                "threads": config.num_threads,
                "chosen": processes < 0,
                "clips_per_s": rate,
            }
        )
    return rows


def training(data: str, recipe: TrainConfig, num_steps: int) -> dict[str, float]:
    """Medians of a run's figures, over its log lines after the first third."""
    config = dataclasses.replace(
        recipe,
        **{"steps": num_steps, "log_every": max(1, num_steps // 6), "eval_every": 0},
        checkpoint_every=num_steps,
        optimizer=dataclasses.replace(recipe.optimizer, warmup_steps=num_steps // 2),
        tensorboard=False,
    )
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as folder:
        train(data, Path(folder), config)
        with (Path(folder) / "metrics.jsonl").open() as file:
            lines = [json.loads(text) for text in file]
    kept = lines[len(lines) // 3 :]
    return {
        name: statistics.median(line[name] for line in kept if name in line)
        for name in RUN_FIGURES
        if any(name in line for line in kept)
    }


if __name__ == "__main__":
    sys.exit(main())
