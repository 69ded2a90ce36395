"""Plans one epoch ahead in a thread, so that no training step waits for a plan."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import BatchPlan, plan_epoch
from trainer.data.plan.policy import BatchPolicy


class PlanLookahead:
    """Holds the plan of the current epoch and computes the next one in the background."""

    def __init__(self, index: ClipIndex, seed: int) -> None:
        self._index, self._seed = index, seed
        self._executor = ThreadPoolExecutor(1, "reelshards-plan")
        self._plan: BatchPlan | None = None
        self._policy: BatchPolicy | None = None
        self._next: Future[BatchPlan] | None = None

    def get(self, epoch: int, policy: BatchPolicy) -> BatchPlan:
        """The plan of an epoch; fast for the epoch of the last call and for the one after it.

        When the policy has changed since the last call, the plan is computed here.
        """
        last = self._plan.epoch if self._plan is not None and self._policy == policy else None
        if self._plan is not None and last == epoch:
            return self._plan
        if last == epoch - 1 and self._next is not None:
            self._plan = self._next.result()
        else:
            self._plan = plan_epoch(self._index, policy, self._seed, epoch)
        self._policy = policy
        self._next = self._executor.submit(plan_epoch, self._index, policy, self._seed, epoch + 1)
        return self._plan

    def close(self) -> None:
        """Stop the thread."""
        self._executor.shutdown(wait=True, cancel_futures=True)
