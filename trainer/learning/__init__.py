"""What a training step computes."""

from __future__ import annotations

from trainer.learning.accumulate import Trained, forward_and_backward
from trainer.learning.copy_ahead import on_device
from trainer.learning.device_inputs import autocast, device_inputs, training_inputs
from trainer.learning.flops import flops_per_clip, peak_flops
from trainer.learning.loss import ClipOrigins, Diagnostics, contrastive_loss
from trainer.learning.memory import plan_memory
from trainer.learning.optimizer import build_optimizer, learning_rate, set_learning_rate
from trainer.learning.prepare import prepare_device, wrapped

__all__ = [
    "ClipOrigins",
    "Diagnostics",
    "Trained",
    "autocast",
    "build_optimizer",
    "contrastive_loss",
    "device_inputs",
    "flops_per_clip",
    "forward_and_backward",
    "learning_rate",
    "on_device",
    "peak_flops",
    "plan_memory",
    "prepare_device",
    "set_learning_rate",
    "training_inputs",
    "wrapped",
]
