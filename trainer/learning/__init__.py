"""What a training step computes."""

from __future__ import annotations

from trainer.learning.accumulate import forward_and_backward
from trainer.learning.copy_ahead import on_device
from trainer.learning.device_inputs import autocast, device_inputs, training_inputs, uses_bf16
from trainer.learning.flops import describe_model, flops_per_clip, peak_flops
from trainer.learning.learner import Learner, WeightAverage
from trainer.learning.loss import ClipOrigins, Diagnostics
from trainer.learning.optimizer import learning_rate, set_learning_rate
from trainer.learning.window import WindowedStream, WindowSize

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
