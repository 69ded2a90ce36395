"""Lines for the user, and a progress bar below them on terminals."""

from __future__ import annotations

import functools
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from shards_spec.cli import PlainConsole


@functools.cache
def _console() -> PlainConsole:
    # One for all lines, so that they appear above the bar.
    return PlainConsole(soft_wrap=True)


def say(text: str) -> None:
    """Show the user a line."""
    _console().print(text)


class StepBar:
    """Steps done, elapsed time and time left; a context manager. Nothing outside of terminals."""

    def __init__(self, steps_done: int, num_steps: int, *, is_shown: bool = True) -> None:
        self._progress: Progress | None = None
        if is_shown and _console().is_terminal:
            self._progress = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=_console(),
                transient=True,
            )
            self._task = self._progress.add_task("steps", completed=steps_done, total=num_steps)

    def advance(self) -> None:
        """One step is done."""
        if self._progress is not None:
            self._progress.advance(self._task)

    def __enter__(self) -> StepBar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def duration_text(seconds: float) -> str:
    """`1:02:03` of hours, minutes and seconds; days as well above 48 hours."""
    total = max(0, round(seconds))
    hours, rest = divmod(total, 3600)
    days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text
