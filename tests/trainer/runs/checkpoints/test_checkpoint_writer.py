"""Checkpoints that are written in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shards_spec.errors import InputError
from trainer.runs.checkpoints.checkpoint import Checkpoint, checkpoint_files, load_checkpoint
from trainer.runs.checkpoints.writer import CheckpointWriter


def small_checkpoint(step: int, value: float = 1.0) -> Checkpoint:
    return Checkpoint(
        step=step,
        model={"weight": torch.full((3,), value)},
        optimizer={"state": [torch.ones(1)]},
        plan={},
        config={},
        rng=torch.get_rng_state(),
    )


def writer(run: Path, publish: Callable[[], None] = lambda: None) -> CheckpointWriter:
    return CheckpointWriter(run, keep=2, milestone_every=0, in_background=True, publish=publish)


def test_what_is_written_is_the_state_at_the_call(tmp_path: Path) -> None:
    may_continue = threading.Event()
    with writer(tmp_path, may_continue.wait) as checkpoints:
        checkpoints.save(small_checkpoint(1))
        second = small_checkpoint(2)
        may_continue.set()
        checkpoints.save(second)
        second.model["weight"].zero_()
    newest = checkpoint_files(tmp_path)[-1]
    assert newest.name == "step-00000002.pt"
    assert torch.equal(load_checkpoint(newest).model["weight"], torch.ones(3))


def test_errors_of_the_background_are_raised(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NaN or infinite"), writer(tmp_path) as checkpoints:
        checkpoints.save(small_checkpoint(1, float("nan")))
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with writer(blocked) as checkpoints:
        checkpoints.save(small_checkpoint(1))
        with pytest.raises(InputError, match="cannot be written"):
            checkpoints.save(small_checkpoint(2))
