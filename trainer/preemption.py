"""SIGTERM as a request: schedulers send it some seconds before they take the machine."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


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
