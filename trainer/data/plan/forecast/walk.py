"""The batches of a run, in order, without reading any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainer.data.plan.clip_index import ClipIndex, Ints
from trainer.data.plan.epoch_plan import plan_epoch


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive steps of one epoch."""

    epoch: int
    steps_done: int
    """Steps of the run before the first one."""
    clips: Ints
    """(S, m, k) rows of the clips of each step."""


class PlanWalk:
    """Walks through the steps of a run as a stream does that starts at the same position."""

    def __init__(
        self, index: ClipIndex, seed: int, *, epoch: int = 0, step: int = 0, steps_done: int = 0
    ) -> None:
        """`step` counts within the epoch, `steps_done` within the run."""
        self._index, self._seed = index, seed
        self.epoch, self.step, self.steps_done = epoch, step, steps_done

    def until(self, steps_done: int) -> Iterator[Stretch]:
        """The steps from here to step `steps_done` of the run; a later call continues there.

        Raises `PolicyError` as `plan_epoch`.
        """
        schedule = self._index.policy
        while self.steps_done < steps_done:
            policy = schedule.at_step(self.steps_done)
            plan = plan_epoch(self._index, policy, self._seed, self.epoch)
            changes = [step for step in schedule.phases() if step > self.steps_done]
            end = min([self.steps_done + plan.num_steps - self.step, steps_done, *changes])
            num_steps = end - self.steps_done
            if num_steps > 0:
                clips = plan.clips[self.step : self.step + num_steps]
                yield Stretch(self.epoch, self.steps_done, clips)
            self.step += num_steps
            self.steps_done = end
            if self.step >= plan.num_steps or schedule.changes_at(end):
                self.epoch, self.step = self.epoch + 1, 0
