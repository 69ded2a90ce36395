"""What a training step computes."""

from __future__ import annotations

from trainer.learning.device_inputs import autocast, device_inputs
from trainer.learning.loss import Diagnostics, Moments, contrastive_loss
from trainer.learning.optimizer import build_optimiser, learning_rate, set_learning_rate

__all__ = [
    "Diagnostics",
    "Moments",
    "autocast",
    "build_optimiser",
    "contrastive_loss",
    "device_inputs",
    "learning_rate",
    "set_learning_rate",
]
