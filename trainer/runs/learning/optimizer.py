"""AdamW, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from torch import nn

from trainer.config import OptimizerConfig

#: Key of a parameter group: its share of the learning rate.
RATE_SCALE = "rate_scale"


def build_optimizer(
    model: nn.Module, config: OptimizerConfig, criterion: nn.Module | None = None
) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, but not biases, norms and the logit scale.

    With `config.layer_decay` each layer of a tower has its own rate; frozen weights have none.
    """
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    depths = _tower_depths(name for name, _ in named)
    for name, weight in named:
        scale = _rate_scale(name, depths, config.layer_decay)
        groups.setdefault((scale, weight.ndim >= 2), []).append(weight)
    groups[1.0, False] += criterion.parameters() if criterion else []
    return torch.optim.AdamW(
        [
            {
                "params": weights,
                "weight_decay": config.weight_decay if is_decayed else 0.0,
                RATE_SCALE: scale,
            }
            for (scale, is_decayed), weights in groups.items()
        ],
        lr=config.lr,
        betas=config.betas,
        fused=True,
    )


def _tower_depths(names: Iterable[str]) -> dict[str, int]:
    """The number of layers of each tower."""
    depths: dict[str, int] = {}
    for name in names:
        tower = name.partition(".")[0]
        depths[tower] = max(depths.get(tower, 0), _layer(name) or 0)
    return depths


def _rate_scale(name: str, depths: dict[str, int], decay: float) -> float:
    """Share of the learning rate: `decay` for a tower's last layer, less for each one before it."""
    tower, layer = name.partition(".")[0], _layer(name)
    if decay == 1 or tower not in ("video", "audio") or layer is None:
        return 1.0
    return float(decay ** (depths[tower] + 1 - layer))


def _layer(name: str) -> int | None:
    """The layer that a weight belongs to: 0 for what reads the input, None for what follows the
    layers. `video.layer3.0.conv1` is in layer 3, `audio.encoder.layers.7.mlp` in 8."""
    if re.match(r"\w+\.(stem|conv1|bn1|embed)\.", name):
        return 0
    number = re.search(r"\.layer(\d+)\.", name)
    if number:
        return int(number[1])
    number = re.search(r"\.layers\.(\d+)\.", name)
    return int(number[1]) + 1 if number else None


def learning_rate(step: int, num_steps: int, config: OptimizerConfig) -> float:
    """The rate of the step after `step` completed ones: linear warm-up, then the schedule.

    lr    ___                         _________              ________
         /   \\_                      /                      /        \\
        /      \\__    cosine        /           constant   /          \\  wsd
    0  /          \\___             /                      /            \\_  lr * final_lr_fraction
       0   warmup     num_steps
    """
    warmup = config.warmup(num_steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    floor = config.final_lr_fraction
    if config.schedule == "constant":
        return config.lr
    if config.schedule == "wsd":
        num_decay = max(1, min(num_steps - warmup, round(config.decay_fraction * num_steps)))
        fallen = min(1.0, max(0.0, (step - (num_steps - num_decay)) / num_decay))
        return config.lr * (1 - (1 - floor) * fallen)
    progress = (step - warmup) / max(1, num_steps - warmup)
    return config.lr * (floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, progress))) / 2)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` for all parameters from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(RATE_SCALE, 1.0)
