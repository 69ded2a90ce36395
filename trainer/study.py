"""The paper's question as an experiment: what does a model learn as within-movie negatives grow?

    k = clips per movie, at one batch size:    1 ---- 4 ---- 16      (share of within-movie
    rho = (k - 1) / (batch - 1):               0    0.05    0.24      negatives)

Every cell is a run of its own folder, trained with `train` and judged with `evaluate` on held-out
movies; finished cells are kept, so a stopped study goes on where it was. First version: clips per
movie and within-movie weight; few seeds, so the spread is shown as it is, from least to most.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.evaluate import Evaluation, evaluate
from trainer.files import write_text
from trainer.journal import say
from trainer.train import train

#: Figures of the table: heading and where they stand in an evaluation's JSON.
FIGURES = {
    "within R@1 v→a": ("retrieval", "video_to_audio", "within_movie"),
    "within R@1 a→v": ("retrieval", "audio_to_video", "within_movie"),
    "global R@1 v→a": ("retrieval", "video_to_audio", "global"),
    "class, video": ("class_probe", "video", "accuracy"),
    "class, audio": ("class_probe", "audio", "accuracy"),
    "movie, video": ("movie_probe", "video", "accuracy"),
    "movie, audio": ("movie_probe", "audio", "accuracy"),
}


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Which runs are compared; all else is the recipe's."""

    clips_per_movie: tuple[int, ...] = (1, 4, 16)
    """Values of k; each must divide the batch size."""
    within_weights: tuple[float, ...] = (1.0,)
    """Weights of within-movie negatives in the loss."""
    batch_size: int = 64
    """Clips in every batch, whatever k: k = 1 needs as many training movies."""
    steps: int = 300
    """Optimiser steps of each run."""
    seeds: int = 3
    """Runs of each cell, seeds 0, 1, ..."""

    def __post_init__(self) -> None:
        odd = [k for k in self.clips_per_movie if k < 1 or self.batch_size % k]
        if odd or not self.clips_per_movie:
            raise InputError(f"study: clips_per_movie {odd} must divide {self.batch_size = }")
        if self.seeds < 1:
            raise InputError(f"study: {self.seeds = }: at least 1")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of the study."""

    clips_per_movie: int
    within_weight: float
    seed: int

    @property
    def name(self) -> str:
        """Folder of the run."""
        return f"k{self.clips_per_movie:03d}-w{self.within_weight:g}-seed{self.seed}"


def study(
    data: str, run: Path, labels: Path | None, recipe: TrainConfig, config: StudyConfig
) -> str:
    """Train and judge every cell that is not there yet; write `study.json` and `study.md`.

    Returns the table. Raises `InputError` when the dataset cannot serve a cell's batches.
    """
    found: dict[Cell, dict[str, Any]] = {}
    cells = list(_cells(config))
    for number, cell in enumerate(cells, start=1):
        folder = run / cell.name
        say(f"[{number}/{len(cells)}] {cell.name}")
        train(data, folder, cell_config(recipe, config, cell))
        judged = folder / "evaluation.json"
        if not judged.exists():
            result: Evaluation = evaluate(data, folder, labels)
            write_text(judged, result.to_text())
        found[cell] = json.loads(judged.read_text())
    table = render(config, found)
    values = [{**dataclasses.asdict(cell), "evaluation": values} for cell, values in found.items()]
    write_text(run / "study.json", json.dumps(values, indent=2))
    write_text(run / "study.md", table + "\n")
    return table


def cell_config(recipe: TrainConfig, config: StudyConfig, cell: Cell) -> TrainConfig:
    """The settings of one cell's run."""
    k = cell.clips_per_movie
    policy = dataclasses.replace(
        recipe.policy,
        movies_per_batch=config.batch_size // k,
        clips_per_movie=k,
        # As many reads as clips where possible: cells differ in k, not in how clips are mixed.
        reads_per_movie=min(k, recipe.policy.reads_per_movie),
    )
    return dataclasses.replace(
        recipe,
        steps=config.steps,
        seed=cell.seed,
        policy=policy,
        loss=dataclasses.replace(recipe.loss, within_weight=cell.within_weight),
        eval_every=0,
    )


def render(config: StudyConfig, found: dict[Cell, dict[str, Any]]) -> str:
    """Markdown: a row a cell over all seeds, mean and spread (least to most) of each figure."""
    rows = ["| k | rho | weight | " + " | ".join(FIGURES) + " |", "|" + "---|" * (3 + len(FIGURES))]
    for k, weight in itertools.product(config.clips_per_movie, config.within_weights):
        results = [
            values
            for cell, values in found.items()
            if (cell.clips_per_movie, cell.within_weight) == (k, weight)
        ]
        rho = (k - 1) / (config.batch_size - 1)
        figures = [
            _spread([_figure(values, path) for values in results]) for path in FIGURES.values()
        ]
        rows.append(f"| {k} | {rho:.3f} | {weight:g} | " + " | ".join(figures) + " |")
    first = next(iter(found.values()))
    chance = [_figure(first, path, chance=True) for path in FIGURES.values()]
    rows.append("| chance | | | " + " | ".join(_spread([value]) for value in chance) + " |")
    return "\n".join(rows)


def _cells(config: StudyConfig) -> Iterator[Cell]:
    """Seed by seed: a study that is stopped early has whole comparisons."""
    for seed in range(config.seeds):
        for k, weight in itertools.product(config.clips_per_movie, config.within_weights):
            yield Cell(clips_per_movie=k, within_weight=weight, seed=seed)


def _figure(
    values: dict[str, Any], path: tuple[str, str, str], *, chance: bool = False
) -> float | None:
    """One number of an evaluation; None where it was not measured (no labels, say)."""
    kind, name, key = path
    if kind != "retrieval":
        probe = values[kind].get(name)
        return None if probe is None else float(probe["chance" if chance else key])
    for one in values["retrieval"]["results"]:
        if (one["direction"], one["gallery"]) == (name, key):
            return float(one["chance_over_clips" if chance else "over_clips"]["r1"])
    return None


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = sum(known) / len(known)
    return (
        f"{mean:.3f}" if len(known) == 1 else f"{mean:.3f} ({min(known):.3f} to {max(known):.3f})"
    )
