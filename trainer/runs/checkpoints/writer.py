"""Writes a run's checkpoints: the newest, the best and milestones, while training continues.

    checkpoints/step-00001000.pt        the newest ones; a launch resumes from the last
                best.pt                 of the evaluation with the best retrieval so far
                milestone-00005000.pt   kept for good

Saving copies the tensors to the host; a thread writes the copy. One checkpoint is written at a
time, so a slow disk delays the next one and does not pile them up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from trainer.runs.atomic_files import atomic_file, writing_run
from trainer.runs.checkpoints.checkpoint import BEST, CHECKPOINTS, Checkpoint, save_checkpoint


class CheckpointWriter:
    """A context manager; at its end everything is written."""

    def __init__(
        self,
        run: Path,
        *,
        keep: int,
        milestone_every: int,
        in_background: bool,
        publish: Callable[[], None],
    ) -> None:
        """`publish` is called after each checkpoint."""
        self._run, self._keep, self._milestone_every = run, keep, milestone_every
        self._publish = publish
        self._pool = ThreadPoolExecutor(1, "reelshards-checkpoint") if in_background else None
        self._writing: Future[None] | None = None

    def save(self, checkpoint: Checkpoint, *, is_best: bool = False) -> None:
        """Write a checkpoint; errors of the one before are raised here, or at the end."""
        self.wait()
        if self._pool is None:
            self._write(checkpoint, is_best)
            return
        self._writing = self._pool.submit(self._write, _on_host(checkpoint), is_best)

    def check(self) -> None:
        """Raise what went wrong with the last checkpoint, if it is done; does not wait."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Return once the checkpoint in progress is written; raises what went wrong with it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True)

    def _write(self, checkpoint: Checkpoint, is_best: bool) -> None:
        with writing_run(self._run):
            path = save_checkpoint(self._run, checkpoint, self._keep)
            every = self._milestone_every
            if every and checkpoint.step % every == 0:
                _copy(path, path.with_name(f"milestone-{checkpoint.step:08d}.pt"))
            if is_best:
                _copy(path, self._run / CHECKPOINTS / BEST)
        self._publish()


def _copy(source: Path, target: Path) -> None:
    with atomic_file(target) as file, source.open("rb") as content:
        while piece := content.read(1 << 22):
            file.write(piece)


def _on_host(checkpoint: Checkpoint) -> Checkpoint:
    """The same values in memory that training does not change."""
    values = {item.name: getattr(checkpoint, item.name) for item in dataclasses.fields(checkpoint)}
    return Checkpoint(**{name: _copied(value) for name, value in values.items()})


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
