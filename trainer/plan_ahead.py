"""Plans one epoch ahead, so that no step waits for a plan."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from trainer.clip_index import ClipIndex
from trainer.plan import BatchPlan, plan_epoch
from trainer.policy import BatchPolicy


class PlanAhead:
    """The plan of the current epoch; that of the next is made meanwhile, in a thread."""

    def __init__(self, index: ClipIndex, policy: BatchPolicy, seed: int) -> None:
        self._index, self._policy, self._seed = index, policy, seed
        self._maker = ThreadPoolExecutor(1, "reelshards-plan")
        self._plan: BatchPlan | None = None
        self._coming: Future[BatchPlan] | None = None

    def get(self, epoch: int) -> BatchPlan:
        """The plan of an epoch; quick for the epoch of the last call and for the one after it."""
        if self._plan is not None and self._plan.epoch == epoch:
            return self._plan
        if self._plan is not None and self._plan.epoch == epoch - 1 and self._coming is not None:
            self._plan = self._coming.result()
        else:
            self._plan = plan_epoch(self._index, self._policy, self._seed, epoch)
        self._coming = self._maker.submit(
            plan_epoch, self._index, self._policy, self._seed, epoch + 1
        )
        return self._plan

    def close(self) -> None:
        """End the thread."""
        self._maker.shutdown(wait=True, cancel_futures=True)
