"""The state of a run between two steps: taken from a checkpoint, and put into one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from trainer.config import TrainConfig
from trainer.data.plan import PlanState
from trainer.data.stream import Batch
from trainer.runs.checkpoints import Checkpoint
from trainer.runs.config_file import config_to_json
from trainer.runs.learning.learner import Learner, WeightAverage


@dataclass(frozen=True)
class Start:
    """Where a launch begins."""

    steps_done: int
    plan: PlanState
    best_retrieval: float = float("-inf")
    """Held-out recall of the best evaluation so far."""


def restore(
    learner: Learner,
    average: WeightAverage | None,
    index_fingerprint: str,
    config: TrainConfig,
    checkpoint: Checkpoint | None,
) -> Start:
    """Load a checkpoint's state into `learner`; without one, start at the beginning."""
    plan = PlanState(
        epoch=0, step=0, seed=config.seed, index_fingerprint=index_fingerprint, policy=config.policy
    )
    if checkpoint is None:
        return Start(0, plan)
    saved = PlanState.from_json(checkpoint.plan)
    if config.allow_appended_data:
        saved = saved.on_appended(index_fingerprint)
    saved.check(plan)
    learner.model.load_state_dict(checkpoint.model)
    learner.criterion.load_state_dict(checkpoint.loss)
    learner.optimizer.load_state_dict(checkpoint.optimizer)
    if average is not None:
        average.model.load_state_dict(checkpoint.average or checkpoint.model)
    torch.set_rng_state(checkpoint.rng)
    return Start(checkpoint.step, saved, checkpoint.best_retrieval)


def checkpoint_after(
    batch: Batch,
    steps_done: int,
    learner: Learner,
    average: WeightAverage | None,
    start: Start,
    best_retrieval: float,
) -> Checkpoint:
    """The state from which the step after `batch` resumes."""
    plan = dataclasses.replace(
        start.plan, epoch=batch.epoch, step=batch.step + 1, steps_done=steps_done
    )
    return Checkpoint(
        step=steps_done,
        model=learner.model.state_dict(),
        optimizer=learner.optimizer.state_dict(),
        loss=learner.criterion.state_dict(),
        plan=plan.to_json(),
        config=config_to_json(learner.config),
        rng=torch.get_rng_state(),
        average=average.model.state_dict() if average else None,
        best_retrieval=best_retrieval,
    )
