"""The outcome of a training step, and the check that it is finite."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from shards_spec.errors import ReelshardsError
from trainer.learning import Diagnostics
from trainer.ranks import Readback
from trainer.stream import Batch


class NonFiniteStepError(ReelshardsError):
    """A loss or gradient became NaN or infinite; the message names the step and its clips."""

    exit_code = 1


@dataclass(frozen=True)
class StepResult:
    """The outcome of a step; tensors stay on the device until a number is needed."""

    loss: torch.Tensor
    """() float32 over this rank's rows."""
    diagnostics: Diagnostics
    grad_norm: torch.Tensor
    """() float32, before clipping."""
    logit_scale: torch.Tensor
    """() float32."""
    learning_rate: float
    batch: Batch
    is_finite: Readback
    """1 if loss and gradient norm are finite, else 0; on its way to the host."""

    def require_finite(self, step: int) -> None:
        """Raise `NonFiniteStepError` if loss or gradient norm of this step is NaN or infinite.

        A finite loss is not enough: clipping turns a gradient with one NaN into NaN weights.
        """
        if self.is_finite.item():
            return
        batch = self.batch
        raise NonFiniteStepError(
            f"step {step} has loss {float(self.loss)} and gradient norm {float(self.grad_norm)} "
            f"(epoch {batch.epoch}, batch {batch.step}, clips in index rows "
            f"{batch.clip.tolist()}); no checkpoint was written after it; inspect these clips, or "
            "lower optimizer.lr in a new run"
        )
