"""How far a run is: the record that the display, `status` and the logs read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from pipeline.engine.events import AttemptFailed, Event, MovieFinished, MoviePlanned, PartDecoded
from shards_spec.errors import ObjectNotFoundError, ReelshardsError
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage

#: Where a run records how far it is, relative to the dataset.
RUN_RECORD = "run.json"
_RECORD_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Progress:
    """How far a run is; stored as `run.json` in the dataset while it runs."""

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
    """Attempts that failed and were retried."""
    clips: int = 0
    movie_seconds_planned: float = 0.0
    movie_seconds_decoded: float = 0.0
    view: str = ""
    """Name of the view, in a run that makes several datasets."""

    @property
    def movies_finished(self) -> int:
        """Movies that reached a final status in this run."""
        return self.movies_done + self.movies_skipped + self.movies_failed

    @property
    def movie_hours_per_hour(self) -> float:
        """Movie time decoded per wall time."""
        wall = self.updated_unix - self.started_unix
        return self.movie_seconds_decoded / wall if wall > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Expected remaining time, from the mean length of the planned movies; None if unknown."""
        num_open = self.movies_total - self.movies_kept
        if not self.movies_planned or self.movie_hours_per_hour <= 0:
            return None
        mean_seconds = self.movie_seconds_planned / self.movies_planned
        remaining = mean_seconds * max(num_open, self.movies_planned) - self.movie_seconds_decoded
        return max(0.0, remaining) / self.movie_hours_per_hour


def read_progress(storage: Storage) -> Progress | None:
    """The record of the last run, or None when there is none that this version understands."""
    try:
        return Progress(**json.loads(storage.get(RUN_RECORD)))
    except (ObjectNotFoundError, ValueError, TypeError):
        return None


class Recorder:
    """Writes the progress record every few seconds, in a thread of its own.

    The record is informational: a store that does not answer must not delay the run. Failed writes
    are counted.
    """

    def __init__(self, storage: Storage) -> None:
        self.num_failed = 0
        """Writes of the record that failed."""
        self._storage = storage
        self._written = -_RECORD_EVERY_SECONDS
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="progress")
        self._running: Future[None] | None = None

    def write(self, progress: Progress) -> None:
        """Write the record soon if the last one is old enough."""
        is_due = time.monotonic() - self._written > _RECORD_EVERY_SECONDS
        if is_due and (self._running is None or self._running.done()):
            self._written = time.monotonic()
            self._running = self._pool.submit(self._put, progress)

    def write_now(self, progress: Progress) -> None:
        """Write the record after the one that is being written, and wait for it."""
        self._written = time.monotonic()
        self._pool.submit(self._put, progress).result()

    def close(self) -> None:
        """Wait for the record that is being written."""
        self._pool.shutdown(wait=True)

    def _put(self, progress: Progress) -> None:
        try:
            self._storage.put(RUN_RECORD, json.dumps(asdict(progress), indent=2).encode())
        except ReelshardsError:
            # Also a lost lease: what the run does next finds out and says so.
            self.num_failed += 1


#: Called with the progress so far, after each event; with None between events.
OnProgress = Callable[[Progress, Event | None], None]


def advance(progress: Progress, event: Event | None) -> Progress:
    """The progress after an event."""
    match event:
        case MoviePlanned():
            return replace(
                progress,
                movies_planned=progress.movies_planned + 1,
                movie_seconds_planned=progress.movie_seconds_planned + event.movie_seconds,
            )
        case PartDecoded():
            seconds = progress.movie_seconds_decoded + event.movie_seconds
            return replace(progress, movie_seconds_decoded=seconds)
        case AttemptFailed():
            return replace(progress, retries=progress.retries + 1)
        case MovieFinished():
            return _with_outcome(progress, event.row)
    return progress


def _with_outcome(progress: Progress, row: MovieRow) -> Progress:
    if row.status == "done":
        clips = progress.clips + row.num_clips
        return replace(progress, movies_done=progress.movies_done + 1, clips=clips)
    if row.status == "skipped":
        return replace(progress, movies_skipped=progress.movies_skipped + 1)
    return replace(progress, movies_failed=progress.movies_failed + 1)
