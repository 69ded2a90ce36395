"""Model, averaged model and optimizer of a run, on this process's device."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from shards_spec.recipe import Recipe
from trainer.config import TrainConfig
from trainer.console import say
from trainer.models import TwoTowers, build_model
from trainer.ranks.world import World
from trainer.runs.learning.accumulate import Trained
from trainer.runs.learning.device_inputs import autocast
from trainer.runs.learning.loss import Criterion
from trainer.runs.learning.memory import plan_memory
from trainer.runs.learning.optimizer import build_optimizer
from trainer.runs.learning.prepare import prepare_device, wrapped


@dataclass(frozen=True)
class Learner:
    """Model and optimizer on this process's device."""

    model: TwoTowers
    """The bare model: saved, evaluated and exported."""
    trained: Trained
    """The same model as it is trained: wrapped for several ranks and, if requested, compiled."""
    criterion: Criterion
    """The loss, with its own parameters and state."""
    optimizer: torch.optim.Optimizer
    config: TrainConfig
    device: torch.device

    @staticmethod
    def build(config: TrainConfig, world: World, recipe: Recipe | None = None) -> Learner:
        """Initial weights depend on the configuration alone, hence are equal on all ranks.

        With the dataset's `recipe`, what the backward pass recomputes is chosen by free memory.
        """
        report = say if world.is_first else _say_nothing
        device = world.device
        if world.world_size > 1 and device.type == "cpu":
            report(
                "note: on CPU ranks, batch normalization uses each rank's own clips, so that "
                "results depend on the number of ranks; on GPUs it is synchronized"
            )
        prepare_device(device, config.precision, report)
        model = build_model(config.model, config.seed).to(device)
        for modality in ("video", "audio"):
            if config.freeze in (modality, "both"):
                model.freeze(modality)
            if config.lock_batch_norm:
                model.lock_batch_norm(modality)
        plan = None
        if recipe is not None:
            num_clips = max(phase.batch_size for phase in config.policy.phases().values())
            num_own = config.loss.num_views * num_clips // world.world_size
            plan = plan_memory(
                model, config, device, num_own, config.policy.joined_clips * recipe.num_frames
            )
        if plan is not None:
            model.set_recompute(plan.recompute)
            report(plan.line())
        forward = wrapped(model, config, world.world_size, report)
        trained = Trained(model, forward, partial(autocast, device, config.precision))
        criterion = Criterion(config.loss, config.model.embedding_size).to(device)
        optimizer = build_optimizer(model, config.optimizer, criterion)
        return Learner(model, trained, criterion, optimizer, config, device)

    def parameters(self) -> list[nn.Parameter]:
        """Everything that the optimizer changes."""
        return [*self.model.parameters(), *self.criterion.parameters()]


def _say_nothing(_: str) -> None:
    """On ranks whose lines would repeat the first rank's."""


class WeightAverage:
    """The exponential moving average of the weights, often better than the last ones.

    It is a second model; the statistics of its norms are the newest ones.
    """

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
