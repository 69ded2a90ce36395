"""A run's folder: what it was started with, and whether a launch may go on in it.

config.json    settings, dataset, versions      checkpoints/    see checkpoint.py
movies.json    see grown.py                     tensorboard/
metrics.jsonl  see metrics.py
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shards_spec.errors import InputError
from shards_spec.reader import Dataset
from trainer.config import CONFIG_JSON, TrainConfig, differences, saved_config, to_json
from trainer.models import TwoTowers, build_model
from trainer.run.atomic_files import write_text
from trainer.run.checkpoint import Checkpoint, newest_checkpoint
from trainer.run.growth import movie_digests, not_grown

#: Digests of the dataset's movies, by which a grown dataset is told from another one.
MOVIES_JSON = "movies.json"


def open_run(run: Path, dataset: Dataset, config: TrainConfig) -> Checkpoint | None:
    """The checkpoint to go on from; None for a run that starts. Writes nothing.

    Raises `InputError`, naming each difference, when the folder holds another run.
    """
    if run.exists() and not run.is_dir():
        raise InputError(f"--run {run} is a file, not a folder")
    old = saved_config(run)
    if old is None:
        return None
    found = differences(old, config)
    described = json.loads((run / CONFIG_JSON).read_text())["dataset"]
    found += _dataset_differences(run, described, dataset, accept_grown=config.accept_grown)
    if found:
        raise InputError(
            f"{run} holds a run with other settings: {'; '.join(found)}; "
            "restore them to resume it, or choose another --run folder"
        )
    return newest_checkpoint(run)


def _dataset_differences(
    run: Path, described: dict[str, Any], dataset: Dataset, *, accept_grown: bool
) -> list[str]:
    """What of a dataset differs from the one that a run was started with."""
    fingerprint = described["fingerprint"]
    if fingerprint == dataset.fingerprint:
        return []
    if not accept_grown:
        return [
            f"dataset fingerprint: {fingerprint} became {dataset.fingerprint} (if it has only "
            "grown, --accept-grown goes on with all of it)"
        ]
    found = []
    if described["recipe"] != dataset.recipe.to_json():
        found.append("dataset recipe: it has changed, so this is not the same dataset grown")
    digests = json.loads((run / MOVIES_JSON).read_text()) if (run / MOVIES_JSON).exists() else {}
    if not digests:
        found.append(f"dataset: {run / MOVIES_JSON} is gone, so what it was cannot be told")
    found += not_grown(digests, movie_digests(dataset.clips))
    return found


def describe_run(run: Path, dataset: Dataset, config: TrainConfig) -> None:
    """Write `config.json` and `movies.json`."""
    # First: a run whose config is there can always be compared with a grown dataset.
    write_text(run / MOVIES_JSON, json.dumps(movie_digests(dataset.clips), indent=0) + "\n")
    values: dict[str, Any] = {
        "config": to_json(config),
        "dataset": {
            "uri": dataset.storage.uri,
            "fingerprint": dataset.fingerprint,
            "num_clips": dataset.clips.num_rows,
            "recipe": dataset.recipe.to_json(),
        },
        "versions": {
            "reelshards": importlib.metadata.version("reelshards"),
            "torch": torch.__version__,
            "git_revision": _git_revision(),
        },
    }
    write_text(run / CONFIG_JSON, json.dumps(values, indent=2) + "\n")


@dataclass(frozen=True)
class TrainedRun:
    """A run's settings and its newest weights."""

    config: TrainConfig
    model: TwoTowers
    """On the CPU, in evaluation mode."""
    steps_done: int
    description: dict[str, Any]
    """`config.json` as it stands."""


def load_run(run: Path) -> TrainedRun:
    """Open what a run has learnt so far.

    Raises `InputError` when the folder holds no run, or one without a checkpoint.
    """
    config = saved_config(run)
    if config is None:
        raise InputError(f"{run} holds no run: it has no {CONFIG_JSON}; train one first")
    checkpoint = newest_checkpoint(run)
    if checkpoint is None:
        raise InputError(f"{run} has no checkpoint yet; let the run reach its first one")
    model = build_model(config.model, config.seed)
    model.load_state_dict(checkpoint.model)
    description = json.loads((run / CONFIG_JSON).read_text())
    return TrainedRun(config, model.eval(), checkpoint.step, description)


def _git_revision() -> str:
    """Commit of the source tree; empty where it is no git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
