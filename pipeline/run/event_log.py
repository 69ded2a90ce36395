"""The run as JSON lines: one event a line, with movie, task and cause, for machines to gather.

{"time": 1763.., "event": "retry", "movie_id": "heat", "task": "segment 3", "attempt": 1,
 "error_class": "timed_out", "message": "..."}
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.engine import Event
from shards_spec.errors import InputError


class EventLog:
    """Appends events to a file; a context manager. With an empty path it writes nothing."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        """Raises `InputError` when the file cannot be written."""
        self._clock = clock
        try:
            self._file = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115
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
        if self._file is not None:
            self._file.close()

    def write(self, event: Event) -> None:
        """Append one event; the line is in the file when this returns."""
        if self._file is not None:
            line = {"time": round(self._clock(), 3), **event_record(event)}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()


def event_record(event: Event) -> dict[str, Any]:
    """An event as JSON values; what it does not say is left out."""
    record: dict[str, Any] = {"event": event.kind, "movie_id": event.movie_id}
    if event.unit:
        record |= {"task": event.unit, "attempt": event.attempt}
    numbers = ("film_seconds", "cpu_seconds", "task_cpu_seconds", "peak_rss_bytes")
    for name in (*numbers, "error_class", "message"):
        value = getattr(event, name)
        if value:
            record[name] = round(value, 3) if isinstance(value, float) else value
    if event.row is not None:
        row = event.row
        record |= {"status": row.status, "attempts": row.attempts, "clips": row.num_clips}
        record |= {"shards": row.num_shards, "bytes": row.shard_bytes}
        record |= {"wall_seconds": row.wall_seconds}
        if row.error_class:
            record |= {"error_class": row.error_class, "message": row.error}
    return record
