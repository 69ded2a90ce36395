"""The run as JSON lines, one per event, for log collectors.

{"time": 1763.., "event": "retry", "movie_id": "heat", "task": "segment 3", "attempt": 1,
 "error_class": "timed_out", "message": "..."}
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from pipeline.engine.events import (
    AttemptFailed,
    Event,
    MovieFinished,
    MoviePlanned,
    MovieStarted,
    PartDecoded,
    TaskCost,
)
from shards_spec.errors import InputError
from shards_spec.redaction import plain_json
from shards_spec.schema import MovieRow

#: `event` in the log, by type.
_NAMES = {
    MovieStarted: "started",
    MoviePlanned: "planned",
    PartDecoded: "decoded",
    AttemptFailed: "retry",
    MovieFinished: "finished",
}


class EventLog:
    """Appends events to a file; a context manager. With an empty path it writes nothing."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        """Raises `InputError` when the file cannot be written."""
        self.num_failed = 0
        """Events that could not be written; the log is informational and does not end the run."""
        self._clock = clock
        self._file: TextIO | None = None
        try:
            with contextlib.ExitStack() as stack:
                if path:
                    self._file = stack.enter_context(Path(path).open("a", encoding="utf-8"))
                self._open_file = stack.pop_all()
        except OSError as error:
            raise InputError(f"cannot write the log {path}: {error.strerror}") from error

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What could not be flushed before cannot be now.
        with contextlib.suppress(OSError):
            self._open_file.close()

    def write(self, event: Event, view: str = "") -> None:
        """Append one event; the line is in the file when this returns, or is counted.

        `view` is the name of the view that it concerns, if there are several.
        """
        if self._file is not None:
            named = {"view": view} if view else {}
            line = {"time": round(self._clock(), 3), **event_record(event), **named}
            try:
                self._file.write(plain_json(json.dumps(line, ensure_ascii=False)) + "\n")
                self._file.flush()
            except OSError:
                self.num_failed += 1


def event_record(event: Event) -> dict[str, Any]:
    """An event as JSON values."""
    record = {"event": _NAMES[type(event)], "movie_id": event.movie_id}
    match event:
        case MovieStarted():
            return record
        case MoviePlanned():
            return record | _task(event.cost) | {"movie_seconds": round(event.movie_seconds, 3)}
        case PartDecoded():
            return (
                record
                | _task(event.cost)
                | {
                    "movie_seconds": round(event.movie_seconds, 3),
                    "cpu_seconds": round(event.ffmpeg_cpu_seconds, 3),
                    "peak_rss_bytes": event.peak_rss_bytes,
                }
            )
        case AttemptFailed():
            return record | {
                "task": event.task,
                "attempt": event.attempt,
                "error_class": event.error_class,
                "message": event.message,
            }
        case MovieFinished():
            return record | (_task(event.cost) if event.cost else {}) | _outcome(event.row)


def _task(cost: TaskCost) -> dict[str, Any]:
    return {
        "task": cost.task,
        "attempt": cost.attempt,
        "task_cpu_seconds": round(cost.cpu_seconds, 3),
    }


def _outcome(row: MovieRow) -> dict[str, Any]:
    record = {
        "status": row.status,
        "attempts": row.attempts,
        "clips": row.num_clips,
        "shards": row.num_shards,
        "bytes": row.shard_bytes,
        "wall_seconds": row.wall_seconds,
    }
    return record | (
        {"error_class": row.error_class, "message": row.error} if row.error_class else {}
    )
