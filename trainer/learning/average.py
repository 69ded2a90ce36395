"""The exponential moving average of a model's weights, which is often better than the last ones."""

from __future__ import annotations

import copy

import torch

from trainer.models import TwoTowers


class WeightAverage:
    """A second model with the averaged weights; the statistics of its norms are the newest ones."""

    def __init__(self, model: TwoTowers, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: TwoTowers, steps_done: int) -> None:
        """Add the weights after `steps_done` steps.

        The first steps count for more, so that the average soon forgets the initial weights.
        """
        decay = min(self.decay, (1 + steps_done) / (10 + steps_done))
        own = [weight.data for weight in self.model.parameters()]
        new = [weight.data for weight in model.parameters()]
        torch._foreach_lerp_(own, new, 1 - decay)
        for buffer, newest in zip(self.model.buffers(), model.buffers(), strict=True):
            buffer.copy_(newest)
