"""How far a run is: the record that the display, `status` and the logs read."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace

from pipeline.engine import Event
from shards_spec.errors import ObjectNotFoundError
from shards_spec.storage import Storage

#: Where a run tells others how far it is.
RUN_RECORD = "run.json"
_RECORD_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Progress:
    """How far a run is; kept in `run.json` beside the dataset while it runs."""

    corpus: str
    started_unix: float
    updated_unix: float
    state: str
    """`running`, `finished`, `drained` or `interrupted`."""
    movies_total: int
    movies_kept: int
    """Committed by earlier runs."""
    movies_done: int = 0
    movies_skipped: int = 0
    movies_failed: int = 0
    """Quarantined or failed."""
    movies_planned: int = 0
    retries: int = 0
    clips: int = 0
    film_seconds_planned: float = 0.0
    film_seconds_decoded: float = 0.0

    @property
    def movies_finished(self) -> int:
        """Movies that this run is through with, whatever came out."""
        return self.movies_done + self.movies_skipped + self.movies_failed

    @property
    def film_hours_per_hour(self) -> float:
        """Film time decoded over wall time."""
        wall = self.updated_unix - self.started_unix
        return self.film_seconds_decoded / wall if wall > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Expected rest, from the mean length of the movies planned so far; None if unknown."""
        todo = self.movies_total - self.movies_kept
        if not self.movies_planned or self.film_hours_per_hour <= 0:
            return None
        whole = self.film_seconds_planned * max(todo, self.movies_planned) / self.movies_planned
        return max(0.0, whole - self.film_seconds_decoded) / self.film_hours_per_hour


def read_progress(storage: Storage) -> Progress | None:
    """The record of the last run, or None when there is none."""
    try:
        return Progress(**json.loads(storage.get(RUN_RECORD)))
    except (ObjectNotFoundError, ValueError, TypeError):
        return None


class Recorder:
    """Writes the progress record now and then."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._written = 0.0

    def write(self, progress: Progress, *, now: bool = False) -> None:
        """Write it when the last time is long enough ago, or `now`."""
        if now or time.monotonic() - self._written > _RECORD_EVERY_SECONDS:
            self._storage.put(RUN_RECORD, json.dumps(asdict(progress), indent=2).encode())
            self._written = time.monotonic()


def advance(progress: Progress, event: Event | None) -> Progress:
    """The progress after an event."""
    if event is None:
        return progress
    if event.kind == "planned":
        return replace(
            progress,
            movies_planned=progress.movies_planned + 1,
            film_seconds_planned=progress.film_seconds_planned + event.film_seconds,
        )
    if event.kind == "decoded":
        seconds = progress.film_seconds_decoded + event.film_seconds
        return replace(progress, film_seconds_decoded=seconds)
    if event.kind == "retry":
        return replace(progress, retries=progress.retries + 1)
    if event.row is None:
        return progress
    clips = progress.clips + event.row.num_clips
    if event.row.status == "done":
        return replace(progress, movies_done=progress.movies_done + 1, clips=clips)
    if event.row.status == "skipped":
        return replace(progress, movies_skipped=progress.movies_skipped + 1)
    return replace(progress, movies_failed=progress.movies_failed + 1)
