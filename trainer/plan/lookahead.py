"""Plans one epoch ahead, so that no step waits for a plan."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from trainer.plan.clip_index import ClipIndex
from trainer.plan.epoch_plan import BatchPlan, plan_epoch
from trainer.plan.policy import BatchPolicy


class PlanAhead:
    """The plan of the current epoch; that of the next is made meanwhile, in a thread."""

    def __init__(self, index: ClipIndex, seed: int) -> None:
        self._index, self._seed = index, seed
        self._maker = ThreadPoolExecutor(1, "reelshards-plan")
        self._plan: BatchPlan | None = None
        self._policy: BatchPolicy | None = None
        self._coming: Future[BatchPlan] | None = None

    def get(self, epoch: int, policy: BatchPolicy) -> BatchPlan:
        """The plan of an epoch; quick for the epoch of the last call and for the one after it.

        A policy that changed in between takes the time of a plan.
        """
        last = self._plan.epoch if self._plan is not None and self._policy == policy else None
        if self._plan is not None and last == epoch:
            return self._plan
        if last == epoch - 1 and self._coming is not None:
            self._plan = self._coming.result()
        else:
            self._plan = plan_epoch(self._index, policy, self._seed, epoch)
        self._policy = policy
        self._coming = self._maker.submit(plan_epoch, self._index, policy, self._seed, epoch + 1)
        return self._plan

    def close(self) -> None:
        """End the thread."""
        self._maker.shutdown(wait=True, cancel_futures=True)
