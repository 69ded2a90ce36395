"""What a run folder says about its data: settings, checkpoints, and how the data grew."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from shards_spec.errors import InputError
from shards_spec.storage import Storage
from trainer.config import TrainConfig
from trainer.runs.bucket import local_copy
from trainer.runs.checkpoints import best_step
from trainer.runs.config_file import saved_config
from trainer.runs.folder import movies_of_run, read_description
from trainer.runs.growth import DataChange, data_changes
from trainer.runs.journal import read_metrics

_CHECKPOINT = re.compile(r"(?:step|milestone)-(\d+)\.pt")


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint of a run."""

    name: str
    """Of its file."""
    step: int
    """Steps that its weights have been trained for."""


@dataclass(frozen=True)
class StoredRun:
    """A run as its folder describes it."""

    uri: str
    config: TrainConfig
    data: tuple[str, ...]
    """URIs of its datasets."""
    fingerprint: str
    """Of its data at the last launch."""
    digests: dict[str, str]
    """Of the movies of its data at the last launch."""
    changes: tuple[DataChange, ...]
    """When movies were appended to its data, in order."""
    checkpoints: tuple[RunCheckpoint, ...]
    """By step."""
    epochs: tuple[tuple[int, int], ...]
    """(step, epoch) of the metric lines."""


def read_run(run: str | Path) -> StoredRun:
    """Read a run folder, also in a bucket.

    Raises `InputError` when there is no run, or one without a checkpoint.
    """
    with local_copy(run) as folder:
        config = saved_config(folder) if folder.is_dir() else None
        if config is None:
            raise InputError(f"{run} is not a run folder: it has no config.json")
        described = read_description(folder)
        checkpoints = _checkpoints(str(run), folder)
        if not checkpoints:
            raise InputError(f"{run} has no checkpoint yet; nothing has seen any movie")
        return StoredRun(
            uri=str(run),
            config=config,
            data=_data(described["dataset"]),
            fingerprint=described["dataset"]["fingerprint"],
            digests=movies_of_run(folder),
            changes=data_changes(described, f"{run}/config.json"),
            checkpoints=checkpoints,
            epochs=tuple(
                (line["step"], line["epoch"])
                for line in read_metrics(folder)
                if isinstance(line.get("epoch"), int)
            ),
        )


def _data(described: dict[str, Any]) -> tuple[str, ...]:
    parts: Sequence[dict[str, Any]] = described.get("parts") or [described]
    return tuple(str(part.get("uri", "")) for part in parts)


def _checkpoints(run: str, folder: Path) -> tuple[RunCheckpoint, ...]:
    names = [PurePosixPath(info.key).name for info in Storage(run).list("checkpoints")]
    found = [
        RunCheckpoint(name, int(match[1]))
        for name in names
        if (match := _CHECKPOINT.fullmatch(name))
    ]
    if (step := best_step(folder)) is not None:
        found.append(RunCheckpoint("best.pt", step))
    return tuple(sorted(found, key=lambda checkpoint: (checkpoint.step, checkpoint.name)))
