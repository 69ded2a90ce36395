"""SIGTERM as a request: schedulers send it some seconds before they take the machine."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from trainer.ranks.readback import Readback
from trainer.ranks.world import World


class StopRequest:
    """A context in which SIGTERM is noted instead of ending the process."""

    def __init__(self) -> None:
        self.is_made = False
        self._previous: Any = None

    def __enter__(self) -> StopRequest:
        # Python delivers signals to the main thread only, and only there may one ask for them.
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.is_made = True


class Agreement:
    """Whether some rank was asked to stop: all ranks are told so at the same step.

    A signal reaches ranks at different steps. So each step's question travels with the step's own
    work, and its answer counts one step later: nobody waits for it.
    """

    def __init__(self, world: World, stop: StopRequest) -> None:
        self._world, self._stop = world, stop
        self._asked: Readback | None = None

    def reached(self) -> bool:
        """Whether to stop now; every rank must call it once a step."""
        if self._world.world_size == 1:
            return self._stop.is_made
        answer = self._asked is not None and self._asked.item() > 0
        self._asked = self._world.sum_later(float(self._stop.is_made))
        return answer
