"""One run of a study: train, evaluate, measure; `result.json` is written last.

Settings without training have a folder with a result only.

A cell's folder is a run folder, so a stopped cell resumes from its last checkpoint. A cell with a
result is not run again; its result is used only if it was measured with the same settings, data and
labels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from shards_spec.errors import InputError, ReelshardsError
from trainer.config import TrainConfig
from trainer.ranks.stop_signal import StopSignal
from trainer.runs.atomic_files import write_text
from trainer.runs.config_file import binding_settings, differences
from trainer.runs.evaluate.evaluation import judge
from trainer.runs.evaluate.result import Judgement
from trainer.settings import LossConfig
from trainer.study.baselines import judge_untrained
from trainer.study.by_movie import scores_by_movie
from trainer.study.config import AUGMENTS, Cell, Setting, StudyConfig, StudyCorpus
from trainer.study.examples import Example, examples, strips, write_strips
from trainer.study.similarity import similarities, to_json

RESULT_JSON = "result.json"
STRIPS = "strips"

#: Metrics kept of each line.
CURVES = (
    "train/loss",
    "train/within_softmax_mass",
    "train/within_weight",
    "train/within_movie_r1",
    "train/logit_scale",
)


class Launch(Protocol):
    """How a launch of a training ended, as far as a study needs to know."""

    @property
    def steps_done(self) -> int:
        """Of the run, over all launches."""


#: Trains on a dataset in a run folder, or resumes there: `trainer.train.train`. It is started in
#: other processes, so it must be a function of a module.
Training = Callable[[str, Path, TrainConfig], Launch]


class StudyStoppedError(ReelshardsError):
    """SIGTERM stopped a study before its last run was complete; the same command resumes."""

    exit_code = 143
    prefix = ""


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """The results of one run."""

    cell: Cell
    folder: Path
    binding: dict[str, Any]
    """Everything that the numbers depend on, by name; see `binding_of`."""
    evaluation: dict[str, Any]
    """As printed by `python -m trainer evaluate --json`."""
    curves: dict[str, list[float | None]]
    """By name, including `step`: the metrics of `CURVES` over training."""
    similarities: list[dict[str, Any]]
    """See `trainer/study/similarity.py`."""
    examples: list[Example]
    by_movie: dict[str, dict[str, list[float]]]
    """By key of `FIGURES`, then by id of the held-out movie; see `trainer/study/by_movie.py`."""
    seconds: float
    """Wall-clock time of the launch that completed the run."""
    cpu_seconds: float
    """CPU time of that launch."""

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        values = dataclasses.asdict(self)
        return {**values, "folder": self.folder.name}


def cell_folder(run: Path, corpus: StudyCorpus, cell: Cell) -> Path:
    """The run folder of a cell."""
    setting = cell.setting
    norm = "-group" if setting.norm == "group" else ""
    if setting.source != "training":
        return run / corpus.slug / f"{setting.source}{norm}-seed{cell.seed}"
    mass = f"-mass{setting.within_mass:g}" if setting.within_mass else ""
    hard = f"-hard{setting.hardness:g}" if setting.hardness else ""
    name = (
        f"k{setting.clips_per_movie:03d}-weight{setting.within_weight:g}{mass}{hard}{norm}-"
        f"{setting.augment}-{setting.positives}-seed{cell.seed}"
    )
    return run / corpus.slug / name


def binding_of(config: TrainConfig, fingerprint: str, corpus: StudyCorpus) -> dict[str, Any]:
    """Everything that the numbers of a run depend on, as JSON values by name."""
    tags = {
        f"tags of {modality} fingerprint": _digest(table) for modality, table in corpus.tags.items()
    }
    return {
        **binding_settings(config),
        "dataset fingerprint": fingerprint,
        "labels fingerprint": _digest(corpus.labels) if corpus.labels else "",
        **tags,
    }


def _digest(table: Path) -> str:
    return hashlib.sha256(table.read_bytes()).hexdigest()[:16]


def load_result(folder: Path, binding: Mapping[str, Any]) -> CellResult | None:
    """The result of a completed cell; None if there is none yet.

    Raises `InputError`, naming each difference, if it was measured with other settings.
    """
    path = folder / RESULT_JSON
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        setting = Setting(**values["cell"]["setting"])
        result = CellResult(
            cell=Cell(setting=setting, seed=values["cell"]["seed"]),
            folder=folder,
            binding=values["binding"],
            evaluation=values["evaluation"],
            curves=values["curves"],
            similarities=values["similarities"],
            examples=[Example.from_json(example) for example in values["examples"]],
            by_movie=values["by_movie"],
            seconds=values["seconds"],
            cpu_seconds=values["cpu_seconds"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be used ({type(error).__name__}: {error}): it is corrupt or from "
            "another version; delete it to measure the run again"
        ) from error
    changes = differences(result.binding, binding)
    if changes:
        raise InputError(
            f"{path} was measured with other settings or data: {'; '.join(changes)}; restore them, "
            "or choose another --run folder"
        )
    return result


def run_cell(
    train: Training,
    folder: Path,
    corpus: StudyCorpus,
    cell: Cell,
    recipe: TrainConfig,
    study: StudyConfig,
    threads: int,
) -> None:
    """Train, evaluate, measure; the output of training goes to `train.log` in the folder.

    `threads` 0 keeps torch's setting. Raises as `train` and `evaluate` do, and `StudyStoppedError`
    if SIGTERM stopped the training: then there is a checkpoint and no result.
    """
    if threads:
        torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    begin, cpu_begin = time.monotonic(), time.process_time()
    config = cell_config(recipe, study, cell)
    source = cell.setting.source
    if source != "training":
        judged, curves = judge_untrained(source, corpus, config), {}
    else:
        judged = _trained(train, folder, corpus, config)
        curves = _curves(folder / "metrics.jsonl")
    embedded = judged.embedded
    has_pairs = source != "statistics"
    chosen = examples(embedded, judged.dataset, judged.labels) if has_pairs else []
    rows = sorted({row for example in chosen for row in (example.query, *example.results)})
    if rows:
        write_strips(folder / STRIPS, strips(judged.dataset, rows, config))
    start_ns = np.array(judged.dataset.clips["start_ns"].to_numpy())[embedded.clip.numpy()]
    pairs = similarities(embedded, torch.from_numpy(start_ns), judged.labels) if has_pairs else []
    result = CellResult(
        cell=cell,
        folder=folder,
        binding=binding_of(config, judged.dataset.fingerprint, corpus),
        evaluation=judged.evaluation.to_json(),
        curves=curves,
        similarities=to_json(pairs),
        examples=chosen,
        by_movie=scores_by_movie(judged),
        seconds=time.monotonic() - begin,
        cpu_seconds=time.process_time() - cpu_begin,
    )
    write_text(folder / RESULT_JSON, json.dumps(result.to_json(), indent=1) + "\n")


def cell_config(recipe: TrainConfig, study: StudyConfig, cell: Cell) -> TrainConfig:
    """The settings of one run: the recipe with what the study decides."""
    setting = cell.setting
    k = setting.clips_per_movie
    policy = dataclasses.replace(
        recipe.policy,
        movies_per_batch=study.batch_size // k,
        clips_per_movie=k,
        # Every clip is read individually: settings differ in k, not in how clips are mixed.
        reads_per_movie=k,
        schedule="",
    )
    if study.folds:
        fold = study.fold(cell.seed)
        policy = dataclasses.replace(
            policy, heldout_fraction=1 / study.folds, heldout_offset=fold / study.folds
        )
    warmup = min(recipe.optimizer.warmup(recipe.steps), study.steps // 2)
    return dataclasses.replace(
        recipe,
        steps=study.steps,
        seed=cell.seed,
        policy=policy,
        augment=AUGMENTS[setting.augment],
        model=dataclasses.replace(recipe.model, small_norm=setting.norm),
        loss=_loss(setting),
        optimizer=dataclasses.replace(recipe.optimizer, warmup_steps=warmup),
        eval_every=0,
        log_every=max(1, study.steps // 40),
        checkpoint_every=max(1, study.steps // 4),
        tensorboard=False,
    )


def _loss(setting: Setting) -> LossConfig:
    loss = LossConfig(
        within_weight=setting.within_weight,
        within_mass=setting.within_mass,
        positives=setting.positives,
    )
    if not setting.hardness:
        return loss
    # Without the correction for false negatives, only the weights differ from InfoNCE.
    return dataclasses.replace(
        loss, objective="hard", hardness=setting.hardness, positive_prior=0.0
    )


def _trained(train: Training, folder: Path, corpus: StudyCorpus, config: TrainConfig) -> Judgement:
    # After the last step the run is finished in any case: evaluation takes seconds.
    with StopSignal(), (folder / "train.log").open("a") as log, contextlib.redirect_stdout(log):
        outcome = train(corpus.data, folder, config)
        if outcome.steps_done < config.steps:
            raise StudyStoppedError(
                f"the run in {folder} was stopped after step {outcome.steps_done} of "
                f"{config.steps}; run the same command to resume"
            )
        return judge(corpus.data, folder, corpus.labels, tags=corpus.tags)


def _curves(path: Path) -> dict[str, list[float | None]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if "train/loss" in line]
    return {name: [line.get(name) for line in lines] for name in ("step", *CURVES)}
