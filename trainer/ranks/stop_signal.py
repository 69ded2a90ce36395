"""SIGTERM as a request to stop: schedulers send it some seconds before they reclaim a machine."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from trainer.ranks.readback import Readback
from trainer.ranks.world import World


class StopSignal:
    """A context in which SIGTERM is recorded instead of ending the process."""

    def __init__(self) -> None:
        self.is_set = False
        self._previous: Any = None

    def __enter__(self) -> StopSignal:
        # Python delivers signals to the main thread only, and only it may install handlers.
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._record)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _record(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True


class StopConsensus:
    """Whether any rank received the signal; all ranks get the same answer at the same step.

    The signal reaches ranks at different steps. Each step's question is queued with the step's own
    work and its answer is used one step later, so that no rank waits for it.
    """

    def __init__(self, world: World, signal: StopSignal) -> None:
        self._world, self._signal = world, signal
        self._pending: Readback | None = None

    def reached(self) -> bool:
        """Whether to stop now; every rank must call it once per step."""
        if self._world.world_size == 1:
            return self._signal.is_set
        answer = self._pending is not None and self._pending.item() > 0
        self._pending = self._world.sum_later(float(self._signal.is_set))
        return answer
