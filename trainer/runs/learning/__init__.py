"""What a training step computes."""

from __future__ import annotations

from trainer.runs.learning import device_inputs, flops, learner, loss, optimizer, window
from trainer.runs.learning.accumulate import forward_and_backward
from trainer.runs.learning.copy_ahead import on_device

__all__ = [
    "device_inputs",
    "flops",
    "forward_and_backward",
    "learner",
    "loss",
    "on_device",
    "optimizer",
    "window",
]
