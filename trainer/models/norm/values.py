"""What batch normalization takes and returns: affine parameters, running statistics, gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True, eq=False)
class Affine:
    """What an activation is normalized with; (C,) float32 each."""

    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    rstd: torch.Tensor
    """1 / sqrt(variance + eps)."""


@dataclass(frozen=True, eq=False)
class Running:
    """Running statistics and how they move; (C,) float32 each, changed in place."""

    mean: torch.Tensor
    var: torch.Tensor
    momentum: float
    """Share of the newest batch; 0 leaves them as they are."""


@dataclass(frozen=True)
class Over:
    """What statistics are taken over."""

    group: Any = None
    """Process group whose ranks share them; None for this process alone."""
    is_batch: bool = True
    """Whether they are the batch's, so that gradients flow through them, or fixed."""

    @property
    def num_ranks(self) -> int:
        """Ranks that share statistics."""
        return dist.get_world_size(self.group) if self.group is not None else 1

    def add_up(self, sums: torch.Tensor) -> torch.Tensor:
        """Sums over all ranks that share statistics, in place."""
        if self.group is not None:
            dist.all_reduce(sums, group=self.group)
        return sums


@dataclass(frozen=True, eq=False)
class Grads:
    """Gradients of one normalization."""

    x: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    short: torch.Tensor | None
