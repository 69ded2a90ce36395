"""What a training step computes."""

from __future__ import annotations

from trainer.runs.learning.accumulate import forward_and_backward
from trainer.runs.learning.copy_ahead import on_device
from trainer.runs.learning.device_inputs import autocast, device_inputs, training_inputs, uses_bf16
from trainer.runs.learning.flops import describe_model, flops_per_clip, peak_flops
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
    "autocast",
    "describe_model",
    "device_inputs",
    "flops_per_clip",
    "forward_and_backward",
    "learning_rate",
    "on_device",
    "peak_flops",
    "set_learning_rate",
    "training_inputs",
    "uses_bf16",
]
