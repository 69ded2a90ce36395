"""A run's folder: what the run was started with, and whether a launch may resume it.

config.json    settings, dataset, versions      checkpoints/    see checkpoint.py
movies.json    see growth.py                    tensorboard/
metrics.jsonl  see metric_log.py
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from shards_spec.version import version
from trainer.config import TrainConfig
from trainer.data.mix.mixed_dataset import part_fingerprints
from trainer.models import TwoTowers, build_model
from trainer.runs.atomic_files import read_json, write_text
from trainer.runs.checkpoints import Checkpoint, best_checkpoint, newest_checkpoint
from trainer.runs.config_file import (
    CONFIG_JSON,
    binding_differences,
    config_to_json,
    saved_config,
    without_cache,
)
from trainer.runs.growth import changes_at_launch, data_changes, growth_problems, movie_digests

#: Digests of the dataset's movies, which distinguish an appended dataset from a different one.
MOVIES_JSON = "movies.json"


def open_run(run: Path, dataset: Dataset, config: TrainConfig) -> Checkpoint | None:
    """The checkpoint to resume from; None for a new run. Writes nothing.

    Raises `InputError`, naming each difference, when the folder contains a different run.
    """
    if run.exists() and not run.is_dir():
        raise InputError(f"--run {run} is a file, not a folder")
    old = saved_config(run)
    if old is None:
        return None
    problems = binding_differences(old, config)
    described = read_description(run)["dataset"]
    problems += _dataset_problems(run, described, dataset, config)
    if problems:
        raise InputError(
            f"{run} contains a run with other settings: {'; '.join(problems)}; "
            "restore them to resume it, or choose another --run folder"
        )
    return newest_checkpoint(run)


def _dataset_problems(
    run: Path, described: dict[str, Any], dataset: Dataset, config: TrainConfig
) -> list[str]:
    """How a dataset differs from the one that the run was started with."""
    fingerprint = described["fingerprint"]
    if fingerprint == dataset.fingerprint:
        return []
    if parts := _part_problems(described, dataset):
        return parts
    if not config.allow_appended_data:
        return [
            f"dataset fingerprint: {fingerprint} became {dataset.fingerprint} (if movies were only "
            "added, --allow-appended-data resumes with all of them)"
        ]
    problems = []
    if described["recipe"] != dataset.recipe.to_json():
        problems.append("dataset recipe: it has changed, so this is a different dataset")
    digests = movies_of_run(run)
    if not digests:
        problems.append(
            f"dataset: {run / MOVIES_JSON} is missing, so the original dataset cannot be identified"
        )
    problems += growth_problems(digests, movie_digests(dataset.clips))
    return problems


def movies_of_run(run: Path) -> dict[str, str]:
    """The digests in `movies.json`, if there are any. Raises `InputError` if it is corrupt."""
    digests = read_json(run / MOVIES_JSON) if (run / MOVIES_JSON).exists() else {}
    if not isinstance(digests, dict):
        raise InputError(f"{run / MOVIES_JSON} is corrupt; use another --run folder")
    return digests


def _part_problems(described: dict[str, Any], dataset: Dataset) -> list[str]:
    """How the list of datasets differs, where one of the two runs has several.

    Datasets may have moved, and movies may have been appended: the fingerprint of all together
    says whether something else has changed.
    """
    before = [part["uri"] for part in described.get("parts", [])]
    now = [str(part["uri"]) for part in part_fingerprints(dataset)]
    if len(before) == len(now) and (before == now or set(before) != set(now)):
        return []
    texts = [" + ".join(uris) or "a single dataset" for uris in (before, now)]
    return [f"datasets: {texts[0]} became {texts[1]}"]


def describe_run(run: Path, dataset: Dataset, config: TrainConfig, steps_done: int = 0) -> None:
    """Write `config.json` and `movies.json` when a launch begins after `steps_done` steps."""
    digests = movie_digests(dataset.clips)
    changes: dict[str, Any] = {}
    if (run / CONFIG_JSON).exists():
        before = data_changes(read_description(run), str(run / CONFIG_JSON))
        changes = changes_at_launch(before, movies_of_run(run) or digests, digests, steps_done)
    # In this order: whenever config.json exists, the run can be compared with a later dataset.
    write_text(run / MOVIES_JSON, json.dumps(digests, indent=0) + "\n")
    values: dict[str, Any] = {
        "config": config_to_json(config),
        "dataset": {
            "uri": dataset.storage.uri,
            "fingerprint": dataset.fingerprint,
            "num_clips": dataset.clips.num_rows,
            **({"parts": parts} if (parts := part_fingerprints(dataset)) else {}),
            "recipe": dataset.recipe.to_json(),
        },
        **changes,
        "versions": {
            "reelshards": version(),
            "torch": torch.__version__,
            "git_revision": _git_revision(),
        },
    }
    write_text(run / CONFIG_JSON, json.dumps(values, indent=2) + "\n")


@dataclass(frozen=True)
class TrainedRun:
    """A run's settings and newest weights."""

    config: TrainConfig
    model: TwoTowers
    """On the CPU, in evaluation mode."""
    steps_done: int
    description: dict[str, Any]
    """The contents of `config.json`."""

    @property
    def recipe(self) -> Recipe:
        """How the clips were made that the run was trained on."""
        return Recipe.from_json(self.description["dataset"]["recipe"])


def load_run(run: Path, *, best: bool = False, average: bool = False) -> TrainedRun:
    """Load the newest weights of a run.

    Args:
        best: the weights whose evaluation during training was best, instead.
        average: the moving average of the weights, for runs with `ema_decay`.

    Raises `InputError` when the folder contains no run, or a run without what is asked for.
    """
    config = saved_config(run)
    if config is None:
        raise InputError(f"{run} is not a run folder: it has no {CONFIG_JSON}; train a run first")
    checkpoint = best_checkpoint(run) if best else newest_checkpoint(run)
    if checkpoint is None:
        kind = "best checkpoint: it was never evaluated" if best else "checkpoint yet"
        raise InputError(f"{run} has no {kind}; let the run reach its first one")
    weights = checkpoint.average if average else checkpoint.model
    if weights is None:
        raise InputError(f"{run} has no averaged weights: it was trained without --ema-decay")
    model = build_model(config.model, config.seed)
    with restoring(run):
        model.load_state_dict(weights)
    description = read_description(run)
    return TrainedRun(without_cache(config), model.eval(), checkpoint.step, description)


def read_description(run: Path) -> dict[str, Any]:
    """The contents of `config.json`. Raises `InputError` if something that is read is missing."""
    values = read_json(run / CONFIG_JSON)
    parts = ("dataset", "fingerprint", str), ("dataset", "recipe", dict), ("versions", "torch", str)
    for part, name, kind in parts:
        value = values.get(part) if isinstance(values, dict) else None
        if not isinstance(value, dict) or not isinstance(value.get(name), kind):
            raise InputError(
                f"{run / CONFIG_JSON} is corrupt: {part}.{name} is missing or not a "
                f"{kind.__name__}; use another --run folder"
            )
    described: dict[str, Any] = values
    return described


@contextlib.contextmanager
def restoring(run: Path) -> Iterator[None]:
    """Turn the errors of a state that does not fit into an `InputError` that names the folder."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{run}: {error}") from error
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"the newest checkpoint in {run} does not fit the run's settings ({reason}); it is "
            "corrupt or of another run: delete it to use the previous one"
        ) from error


def _git_revision() -> str:
    """Commit of the source tree; empty outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return completed.stdout.strip() if completed.returncode == 0 else ""
