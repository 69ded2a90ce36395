"""AdamW, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from trainer.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, but not biases, norms and the logit scale."""
    decayed = [weight for weight in model.parameters() if weight.ndim >= 2]
    plain = [weight for weight in model.parameters() if weight.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=config.lr,
        betas=config.betas,
        fused=True,
    )


def learning_rate(step: int, num_steps: int, config: OptimizerConfig) -> float:
    """The rate of the step after `step` completed ones: linear warm-up, then half a cosine.

    lr    ___
         /   \\_
        /      \\__
    0  /          \\___  lr * final_lr_fraction
       0   warmup     num_steps
    """
    warmup = config.warmup(num_steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - warmup)
    floor = config.final_lr_fraction
    return config.lr * (floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` for all parameters from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
