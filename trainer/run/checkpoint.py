"""Checkpoints: everything that the next step depends on, written atomically.

A checkpoint contains weights, optimizer moments, the state of the loss, the position in the batch
plan (a few integers and fingerprints), the settings and torch's random state. The learning rate is
a function of the step, and batches and augmentation are functions of (seed, epoch, step), so a
resumed run needs nothing else to be bit-exact. Files are loaded with `weights_only=True`: a
checkpoint from an untrusted source cannot execute code.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shards_spec.errors import InputError
from trainer.run.atomic_files import atomic_file

CHECKPOINTS = "checkpoints"
#: The checkpoint whose evaluation was best.
BEST = "best.pt"
VERSION = 1

_PATTERN = "step-*.pt"

#: Former names of fields, still accepted in files.
_FORMER_NAMES = {"optimiser": "optimizer"}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a run between two steps."""

    step: int
    """Optimizer steps completed."""
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    plan: dict[str, Any]
    """`PlanState` as JSON values: the next batch."""
    config: dict[str, Any]
    """`TrainConfig` as JSON values."""
    rng: torch.Tensor
    """State of torch's global CPU generator."""
    loss: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    """State of the loss: weight, queue and bias, where the settings use them."""
    average: dict[str, torch.Tensor] | None = None
    """Moving average of the weights, where the settings ask for one."""
    best_retrieval: float = float("-inf")
    """Held-out recall of the best evaluation so far."""
    version: int = VERSION


def save_checkpoint(run: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint, then delete all but the newest `keep`.

    Raises `InputError`, and writes nothing, if a weight is NaN or infinite.
    """
    _require_finite(
        checkpoint.model, f"step {checkpoint.step} of {run}", "no checkpoint is written"
    )
    path = run / CHECKPOINTS / f"step-{checkpoint.step:08d}.pt"
    values = {item.name: getattr(checkpoint, item.name) for item in dataclasses.fields(checkpoint)}
    with atomic_file(path) as file:
        torch.save(values, file)
    for old in checkpoint_files(run)[:-keep]:
        old.unlink()
    return path


def checkpoint_files(run: Path) -> list[Path]:
    """All checkpoints of a run, oldest first."""
    return sorted((run / CHECKPOINTS).glob(_PATTERN))


def best_checkpoint(run: Path) -> Checkpoint | None:
    """The checkpoint whose evaluation was best; None if there was no evaluation."""
    path = run / CHECKPOINTS / BEST
    return load_checkpoint(path) if path.exists() else None


def newest_checkpoint(run: Path) -> Checkpoint | None:
    """The newest checkpoint of a run, on the CPU; None if there is none.

    Raises `InputError` when it cannot be read: resuming from an older one is the user's decision.
    """
    files = checkpoint_files(run)
    return load_checkpoint(files[-1]) if files else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Load one checkpoint onto the CPU.

    Raises `InputError` if it cannot be read, or if a weight is NaN or infinite.
    """
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        version = values["version"]
    except Exception as error:  # torch.load has no common base class for damaged files
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path} cannot be read ({reason}); delete it to resume from the previous one"
        ) from error
    if version != VERSION:
        raise InputError(f"{path} has version {version}; this reelshards reads version {VERSION}")
    values = {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
    _require_finite(values["model"], str(path), "delete it to use the previous checkpoint")
    return Checkpoint(**values)


def _require_finite(model: dict[str, torch.Tensor], where: str, advice: str) -> None:
    for name, weight in model.items():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            raise InputError(f"{where}: {name} is NaN or infinite: the run has diverged; {advice}")
