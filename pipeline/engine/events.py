"""What happens to movies during a run; the display, the logs and the metrics consume these."""

from __future__ import annotations

from dataclasses import dataclass

from shards_spec.schema import MovieRow


@dataclass(frozen=True)
class TaskCost:
    """The successful attempt of a task that an event reports."""

    task: str
    """The task's name: `prepare`, `segment 3`, `audio`, `write`."""
    attempt: int
    """1 for the first."""
    cpu_seconds: float
    """Of the task and of all programs that it ran."""

    @property
    def kind(self) -> str:
        """The name without a segment's number."""
        return self.task.partition(" ")[0]


@dataclass(frozen=True)
class MovieStarted:
    """The first task of a movie was submitted."""

    movie_id: str


@dataclass(frozen=True)
class MoviePlanned:
    """A movie was probed and its segments are known."""

    movie_id: str
    movie_seconds: float
    """What will be decoded."""
    cost: TaskCost


@dataclass(frozen=True)
class PartDecoded:
    """A segment or the audio of a movie was decoded."""

    movie_id: str
    movie_seconds: float
    """Length of the segment; 0 for audio."""
    ffmpeg_cpu_seconds: float
    peak_rss_bytes: int
    """Of the worker process so far."""
    cost: TaskCost


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt failed and will be retried."""

    movie_id: str
    task: str
    attempt: int
    error_class: str
    message: str


@dataclass(frozen=True)
class MovieFinished:
    """A movie reached its final status for this run."""

    row: MovieRow
    """As committed."""
    cost: TaskCost | None = None
    """Of the write; None when the movie ended without one."""

    @property
    def movie_id(self) -> str:
        """The movie."""
        return self.row.movie_id


Event = MovieStarted | MoviePlanned | PartDecoded | AttemptFailed | MovieFinished

ViewEvent = tuple[int, Event]
"""The number of the view that an event concerns, and the event."""
