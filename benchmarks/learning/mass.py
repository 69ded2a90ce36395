"""Does one softmax mass on within-movie negatives give the same features for any m and k?

    python -m benchmarks.learning.mass --data URI --labels CSV --run FOLDER
        [--seeds 3] [--steps 600]

The result in `results/mass.md` is of 48 movies drawn as those of `make study`, with `--steps 240
--frame-size 32 --num-frames 2`.

Batches of 64 clips as 16 x 4, 8 x 8 and 4 x 16 movies x clips, once with a constant within-movie
weight of 1 and once with `--loss.within-mass`, which keeps the mass. Every run is trained and
evaluated as in `make study`, on its first corpus, and runs that are complete are kept. The report
covers the seeds for which all settings are complete.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import math
import multiprocessing
import platform
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.support import processor
from shards_spec.dataset.reader import open_dataset
from trainer.config import TrainConfig, recipe
from trainer.study.cells import (
    CellResult,
    binding_of,
    cell_config,
    cell_folder,
    load_result,
    run_cell,
)
from trainer.study.config import Cell, Setting, StudyConfig, StudyCorpus
from trainer.study.findings.intervals import Interval
from trainer.study.findings.summary import FIGURES, figure_value

CLIPS_PER_MOVIE = (4, 8, 16)
BATCH_SIZE = 64
#: Figures of the features; the others are listed in the JSON.
PROBES = [figure for figure in FIGURES if figure.kind.endswith("probe")]


def main() -> None:
    """Make the missing runs, print the report, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--mass", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--frame-size", type=int, default=48, help="pixels of the video input")
    parser.add_argument("--num-frames", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for mass.md and mass.json")
    parser.add_argument("--report-only", action="store_true", help="make no runs")
    arguments = parser.parse_args()
    corpus = StudyCorpus(name="main", data=arguments.data, labels=arguments.labels)
    study = StudyConfig(batch_size=BATCH_SIZE, steps=arguments.steps, seeds=arguments.seeds)
    jobs = [
        (cell, cell_folder(arguments.run, corpus, cell))
        for cell in cells(arguments.mass, arguments.seeds)
    ]
    settings = recipe("study")
    inputs = dataclasses.replace(
        settings.model.inputs, frame_size=arguments.frame_size, num_frames=arguments.num_frames
    )
    model = dataclasses.replace(settings.model, inputs=inputs)
    settings = dataclasses.replace(settings, model=model)
    if not arguments.report_only:
        run_missing(jobs, corpus, settings, study, arguments.workers)
    results = complete_seeds(jobs, corpus, settings, study)
    values = {
        "frame_size": arguments.frame_size,
        "num_frames": arguments.num_frames,
        **summary(results, arguments.mass, study),
    }
    text = report(values)
    print(text)
    if arguments.out:
        (arguments.out / "mass.md").write_text(text)
        (arguments.out / "mass.json").write_text(json.dumps(values, indent=1) + "\n")


def cells(mass: float, num_seeds: int) -> Iterator[Cell]:
    """Seed by seed: a benchmark that is stopped early has complete seeds."""
    for seed, value, k in itertools.product(range(num_seeds), (0.0, mass), CLIPS_PER_MOVIE):
        yield Cell(setting=Setting(corpus="main", clips_per_movie=k, within_mass=value), seed=seed)


def run_missing(
    jobs: list[tuple[Cell, Path]],
    corpus: StudyCorpus,
    settings: TrainConfig,
    study: StudyConfig,
    num_workers: int,
) -> None:
    """Train and evaluate every run that has no result, one thread each."""
    missing = [(cell, folder) for cell, folder in jobs if not (folder / "result.json").exists()]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        running = [
            pool.submit(run_cell, folder, corpus, cell, settings, study, 1)
            for cell, folder in missing
        ]
        for future, (_, folder) in zip(running, missing, strict=True):
            future.result()
            print(f"complete: {folder.name}", flush=True)


def complete_seeds(
    jobs: list[tuple[Cell, Path]],
    corpus: StudyCorpus,
    settings: TrainConfig,
    study: StudyConfig,
) -> list[CellResult]:
    """The results of the seeds for which every setting is complete."""
    fingerprint = open_dataset(corpus.data).fingerprint
    results: dict[int, list[CellResult | None]] = {}
    for cell, folder in jobs:
        config = cell_config(settings, study, cell)
        result = load_result(folder, binding_of(config, fingerprint, corpus.labels))
        results.setdefault(cell.seed, []).append(result)
    complete = [
        result for group in results.values() if None not in group for result in group if result
    ]
    if not complete:
        raise SystemExit("no seed is complete yet")
    return complete


def summary(results: list[CellResult], mass: float, study: StudyConfig) -> dict[str, Any]:
    """Figures by setting, and for each way of weighting the largest difference between policies."""
    rows = [
        {
            "clips_per_movie": k,
            "within_mass": value,
            "measured_mass": mean_of(group, "train/within_softmax_mass"),
            "weight": mean_of(group, "train/within_weight"),
            "figures": {
                figure.key: asdict(Interval.of([value_of(one, figure) for one in group]))
                for figure in FIGURES
            },
        }
        for value in (0.0, mass)
        for k in CLIPS_PER_MOVIE
        for group in [by_seed(results, k, value)]
    ]
    differences = [
        {
            "within_mass": value,
            "clips_per_movie": [k, other],
            "figures": {
                figure.key: asdict(Interval.of(paired(results, value, k, other, figure)))
                for figure in FIGURES
            },
        }
        for value in (0.0, mass)
        for k, other in itertools.combinations(CLIPS_PER_MOVIE, 2)
    ]
    return {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{processor()}, Python {platform.python_version()}, torch {torch.__version__}",
        "mass": mass,
        "steps": study.steps,
        "num_seeds": len({result.cell.seed for result in results}),
        "num_runs": len(results),
        "cpu_seconds": sum(result.cpu_seconds for result in results),
        "rows": rows,
        "differences": differences,
    }


def by_seed(results: list[CellResult], k: int, mass: float) -> list[CellResult]:
    """The results of a setting, in the order of their seeds."""
    group = [
        result
        for result in results
        if (result.cell.setting.clips_per_movie, result.cell.setting.within_mass) == (k, mass)
    ]
    return sorted(group, key=lambda result: result.cell.seed)


def paired(results: list[CellResult], mass: float, k: int, other: int, figure: Any) -> list[float]:
    """By seed: the figure with `other` clips per movie minus that with `k`."""
    pairs = zip(by_seed(results, k, mass), by_seed(results, other, mass), strict=True)
    return [value_of(second, figure) - value_of(first, figure) for first, second in pairs]


def value_of(result: CellResult, figure: Any) -> float:
    """A number of an evaluation; NaN if it was not measured."""
    value = figure_value(result.evaluation, figure)
    return math.nan if value is None else value


def mean_of(group: list[CellResult], name: str) -> float:
    """Mean of a metric over the second half of training and over seeds."""
    values = [
        value
        for result in group
        for value in result.curves[name][len(result.curves[name]) // 2 :]
        if value is not None
    ]
    return sum(values) / len(values)


def report(values: dict[str, Any]) -> str:
    """The page."""
    lines = [
        "# The same mass on within-movie negatives in different batches",
        "",
        f"{values['date']}; {values['hardware']}; {values['num_runs']} runs of {values['steps']} "
        f"steps, {values['num_seeds']} seeds, {values['cpu_seconds'] / 3600:.2f} CPU hours. "
        "`python -m benchmarks.learning.mass`; batches of 64 clips, small networks on "
        f"{values['num_frames']} frames of {values['frame_size']} pixels.",
        "",
        *(finding(values, mass) for mass in (0.0, values["mass"])),
        "",
        "Means over seeds with 95 % intervals (Student's t). Mass and weight are means over the "
        "second half of training.",
        "",
        table_line(["m x k", "weighting", "mass", "weight", *(figure.title for figure in PROBES)]),
        table_line(["---"] * (4 + len(PROBES))),
    ]
    for row in values["rows"]:
        k = row["clips_per_movie"]
        lines.append(
            table_line(
                [
                    f"{BATCH_SIZE // k} x {k}",
                    weighting(row["within_mass"]),
                    f"{row['measured_mass']:.2f}",
                    f"{row['weight']:.2f}",
                    *(Interval(**row["figures"][figure.key]).text() for figure in PROBES),
                ]
            )
        )
    lines += [
        "",
        "Differences between policies, paired by seed; **bold** where the interval excludes 0:",
        "",
        table_line(["change of k", "weighting", *(figure.title for figure in PROBES)]),
        table_line(["---"] * (2 + len(PROBES))),
    ]
    for row in values["differences"]:
        first, second = row["clips_per_movie"]
        intervals = [Interval(**row["figures"][figure.key]) for figure in PROBES]
        texts = [
            f"**{one.text(sign=True)}**" if one.is_clear else one.text(sign=True)
            for one in intervals
        ]
        lines.append(table_line([f"{first} to {second}", weighting(row["within_mass"]), *texts]))
    return "\n".join(lines) + "\n"


def finding(values: dict[str, Any], mass: float) -> str:
    """One line: do the features depend on m and k with this weighting?"""
    rows = [row for row in values["differences"] if row["within_mass"] == mass]
    texts = []
    for kind, noun in (("class_probe", "class probes"), ("movie_probe", "movie probes")):
        figures = [figure for figure in PROBES if figure.kind == kind]
        intervals = [Interval(**row["figures"][one.key]) for row in rows for one in figures]
        num_clear = sum(interval.is_clear for interval in intervals)
        largest = max(abs(interval.mean) for interval in intervals)
        texts.append(
            f"{num_clear} of {len(intervals)} differences of {noun} exclude 0, the largest mean is "
            f"{largest:.3f}"
        )
    return f"- {weighting(mass)}: {'; '.join(texts)}."


def weighting(mass: float) -> str:
    """How within-movie negatives were weighted."""
    return f"mass {mass:g}" if mass else "weight 1"


def table_line(values: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(values)} |"


if __name__ == "__main__":
    main()
