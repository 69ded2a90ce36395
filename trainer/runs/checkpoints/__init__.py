"""Checkpoints: what they contain, and how they are written during training."""

from __future__ import annotations

from trainer.runs.checkpoints.checkpoint import (
    BEST,
    CHECKPOINTS,
    Checkpoint,
    best_checkpoint,
    best_step,
    newest_checkpoint,
)
from trainer.runs.checkpoints.writer import CheckpointWriter

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "Checkpoint",
    "CheckpointWriter",
    "best_checkpoint",
    "best_step",
    "newest_checkpoint",
]
