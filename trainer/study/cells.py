"""One run of a study: train it, judge it, measure it; `result.json` is written last.

A cell's folder is a run's folder, so a cell that was stopped goes on after its last checkpoint, and
one whose result is there is not touched again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.evaluate import judge
from trainer.run import write_text
from trainer.study.config import Cell, Setting, StudyConfig, StudyCorpus, cell_config
from trainer.study.examples import Example, examples, strips, write_strips
from trainer.study.similarity import similarities, to_json
from trainer.train import train

RESULT_JSON = "result.json"
STRIPS = "strips"

#: What is kept of each line of metrics.
CURVES = ("train/loss", "train/within_softmax_mass", "train/within_movie_r1", "train/logit_scale")


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """What a study knows of one run."""

    cell: Cell
    folder: Path
    evaluation: dict[str, Any]
    """As `python -m trainer evaluate --json` gives it."""
    curves: dict[str, list[float | None]]
    """By name, `step` among them: the figures of `CURVES` over training."""
    similarities: list[dict[str, Any]]
    """See `trainer/study/similarity.py`."""
    examples: list[Example]
    seconds: float
    """Wall time of the launch that finished the run."""
    cpu_seconds: float
    """Processor time of that launch."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = dataclasses.asdict(self)
        return {**values, "folder": self.folder.name}


def cell_folder(run: Path, corpus: StudyCorpus, cell: Cell) -> Path:
    """Where a cell's run lies."""
    setting = cell.setting
    name = (
        f"k{setting.clips_per_movie:03d}-weight{setting.within_weight:g}-{setting.augment}-"
        f"{setting.positives}-seed{cell.seed}"
    )
    return run / corpus.slug / name


def load_result(folder: Path) -> CellResult | None:
    """The result of a finished cell; None where there is none yet."""
    path = folder / RESULT_JSON
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        setting = Setting(**values["cell"]["setting"])
        return CellResult(
            cell=Cell(setting=setting, seed=values["cell"]["seed"]),
            folder=folder,
            evaluation=values["evaluation"],
            curves=values["curves"],
            similarities=values["similarities"],
            examples=[Example.from_json(one) for one in values["examples"]],
            seconds=values["seconds"],
            cpu_seconds=values["cpu_seconds"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is broken ({error}); delete it to measure anew") from error


def run_cell(
    folder: Path,
    corpus: StudyCorpus,
    cell: Cell,
    recipe: TrainConfig,
    study: StudyConfig,
    threads: int,
) -> None:
    """Train, judge, measure; what training says goes to `train.log` in the folder.

    `threads` 0 leaves torch's as they are. Raises what `train` and `evaluate` raise.
    """
    if threads:
        torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    begin, cpu_begin = time.monotonic(), time.process_time()
    with (folder / "train.log").open("a") as log, contextlib.redirect_stdout(log):
        train(corpus.data, folder, cell_config(recipe, study, cell))
        judged = judge(corpus.data, folder, corpus.labels)
    config, embedded = judged.trained.config, judged.embedded
    start_ns = np.array(judged.dataset.clips["start_ns"].to_numpy())[embedded.clip.numpy()]
    found = examples(embedded, judged.dataset, judged.labels)
    rows = sorted({row for one in found for row in (one.query, *one.found)})
    write_strips(folder / STRIPS, strips(judged.dataset, rows, config))
    result = CellResult(
        cell=cell,
        folder=folder,
        evaluation=judged.evaluation.to_json(),
        curves=_curves(folder / "metrics.jsonl"),
        similarities=to_json(similarities(embedded, torch.from_numpy(start_ns), judged.labels)),
        examples=found,
        seconds=time.monotonic() - begin,
        cpu_seconds=time.process_time() - cpu_begin,
    )
    write_text(folder / RESULT_JSON, json.dumps(result.to_json(), indent=1) + "\n")


def _curves(path: Path) -> dict[str, list[float | None]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if "train/loss" in line]
    return {name: [line.get(name) for line in lines] for name in ("step", *CURVES)}
