"""What a training step computes."""

from __future__ import annotations

from trainer.runs.learning import device_inputs, flops
from trainer.runs.learning.accumulate import forward_and_backward
from trainer.runs.learning.copy_ahead import on_device
from trainer.runs.learning.learner import Learner, WeightAverage
from trainer.runs.learning.loss import ClipOrigins, Diagnostics
from trainer.runs.learning.optimizer import learning_rate, set_learning_rate
from trainer.runs.learning.window import WindowedStream, WindowSize

__all__ = [
    "ClipOrigins",
    "Diagnostics",
    "Learner",
    "WeightAverage",
    "WindowSize",
    "WindowedStream",
    "device_inputs",
    "flops",
    "forward_and_backward",
    "learning_rate",
    "on_device",
    "set_learning_rate",
]
