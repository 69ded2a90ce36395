"""The within-movie weight as a controlled quantity: it keeps the mass of within-movie negatives.

With m movies x k clips, within-movie negatives are (k - 1) / (m k - 1) of all; how much of the
softmax they get also depends on how similar they are, hence on the state of the model. So the
weight that gives them a share `within_mass` is different for each batch policy and changes during
training. After every step its logarithm moves by

    RATE * ( logit(within_mass) - logit(measured mass) )

In a row, logit(mass) is log(weight) plus a constant, and over rows its slope is at most 1: with a
rate of at most 1, the weight never overshoots on unchanging batches. The measured mass is the mean
over all ranks, so the weight is the same on all of them.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from trainer.ranks.collectives import gather

#: Share of the remaining distance, in log weight, that a step covers: batches differ, so the weight
#: follows their mean over about 1 / RATE steps.
RATE = 0.1

#: The weight stays in [1 / MAX_WEIGHT, MAX_WEIGHT].
MAX_WEIGHT = 1000.0

#: Measured masses are limited to [this, 1 - this], so that single batches have bounded influence.
_LEAST_MASS = 1e-3


class WithinWeight(nn.Module):
    """The within-movie weight: one number, in the checkpoint, the same on all ranks."""

    log_weight: torch.Tensor

    def __init__(self, first_weight: float, within_mass: float) -> None:
        super().__init__()
        self.register_buffer("log_weight", torch.tensor(math.log(first_weight)))
        self._target_logit = math.log(within_mass) - math.log1p(-within_mass)

    @torch.no_grad()
    def update(self, mass: torch.Tensor) -> None:
        """Move the weight by one step. Every rank must call it.

        Args:
            mass: () float32, this rank's mean mass on within-movie negatives. Where the ranks' mean
                is 0 or NaN (guards removed all pairs), the weight stays as it is.
        """
        mass = gather(mass[None].float()).mean()
        measured = mass.clamp(_LEAST_MASS, 1.0 - _LEAST_MASS).logit()
        moved = self.log_weight + RATE * (self._target_logit - measured)
        limit = math.log(MAX_WEIGHT)
        moved = torch.where(mass > 0, moved.clamp(-limit, limit), self.log_weight)
        self.log_weight.copy_(moved)
