"""Checkpoints: everything that the next step depends on, written atomically.

A checkpoint contains weights, optimizer moments, the state of the loss, the position in the batch
plan (a few integers and fingerprints), the settings and torch's random state. The learning rate is
a function of the step, and batches and augmentation are functions of (seed, epoch, step), so a
resumed run needs nothing else to be bit-exact. Files are loaded with `weights_only=True`: a
checkpoint from an untrusted source cannot execute code.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shards_spec.errors import InputError
from trainer.runs.atomic_files import atomic_file

CHECKPOINTS = "checkpoints"
#: The checkpoint whose evaluation was best.
BEST = "best.pt"
VERSION = 1

_PATTERN = "step-*.pt"

#: Shape of the state of torch's CPU generator.
_RNG_SHAPE = torch.get_rng_state().shape

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


def best_step(run: Path) -> int | None:
    """Steps of the checkpoint whose evaluation was best; None if there is none."""
    best = best_checkpoint(run)
    return best.step if best else None


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
        _require_stored(path)
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
    if reason := _wrong_fields(values):
        raise InputError(f"{path} is not a checkpoint: {reason}; delete it to use the previous one")
    _require_finite(values["model"], str(path), "delete it to use the previous checkpoint")
    return Checkpoint(**values)


def _require_stored(path: Path) -> None:
    """Raise `ValueError` for a file that is not one of ours, such as one that would be unpacked.

    A checkpoint is an archive of uncompressed members, so loading it takes no more than its size.
    """
    if not path.is_file():
        raise ValueError("not a regular file")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(item.compress_type != zipfile.ZIP_STORED for item in members):
        raise ValueError("compressed")
    if sum(item.file_size for item in members) > path.stat().st_size:
        raise ValueError("its members overlap")


def _wrong_fields(values: Mapping[str, Any]) -> str:
    """Why values are not a `Checkpoint`; empty if they are one."""
    fields = {item.name: item for item in dataclasses.fields(Checkpoint)}
    required = {name for name, item in fields.items() if _has_no_default(item)}
    if wrong := sorted(required - set(values)) + sorted(set(map(str, values)) - set(fields)):
        return f"{', '.join(wrong)} missing or unknown"
    tensors = values["model"]
    if not isinstance(tensors, dict) or not all(map(torch.is_tensor, tensors.values())):
        return "model is not a table of weights"
    for name, kind in (("step", int), ("optimizer", dict), ("plan", dict), ("config", dict)):
        if not isinstance(values[name], kind):
            return f"{name} is not of type {kind.__name__}"
    rng = values["rng"]
    if not torch.is_tensor(rng) or rng.dtype != torch.uint8 or rng.shape != _RNG_SHAPE:
        return "rng is not a state of torch's generator"
    return "" if values["step"] >= 0 else f"step is {values['step']}"


def _has_no_default(item: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return item.default is missing and item.default_factory is missing


def _require_finite(model: dict[str, torch.Tensor], where: str, advice: str) -> None:
    for name, weight in model.items():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            raise InputError(f"{where}: {name} is NaN or infinite: the run has diverged; {advice}")
