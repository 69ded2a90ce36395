"""A movie in work and its units: what the scheduler orders and the engine runs.

    prepare -> audio, segment, segment, ... -> write

A unit is one task: it is queued, runs, and may run again; the same unit gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.movie import SOUND
from pipeline.plan import MoviePlan, Segment
from pipeline.sources import Movie
from shards_spec.schema import MovieRow

UnitKind = Literal["prepare", "segment", "audio", "write"]


@dataclass(frozen=True)
class Event:
    """What happened to a movie; progress display, logs and metrics live on these."""

    kind: Literal["started", "planned", "decoded", "retry", "finished"]
    movie_id: str
    film_seconds: float = 0.0
    """Planned or decoded now."""
    row: MovieRow | None = None
    """With `finished`."""
    message: str = ""
    """With `retry`: why."""
    unit: str = ""
    """The task's name, such as `segment 3`; empty with `started`, and for a movie given up."""
    attempt: int = 0
    error_class: str = ""
    """With `retry`."""
    cpu_seconds: float = 0.0
    """Of ffmpeg, with `decoded`."""
    task_cpu_seconds: float = 0.0
    """Of the task with all programs that it ran; with `planned`, `decoded` and `finished`."""
    peak_rss_bytes: int = 0
    """Of the worker, with `decoded`."""


@dataclass(eq=False)
class Unit:
    """One task of a movie."""

    kind: UnitKind
    job: Job
    segment: Segment | None = None
    attempts: int = 0
    """Tries so far; those that ended because a node went away do not count."""
    losses: int = 0
    """Tries that ended so."""
    memory_factor: int = 1
    """Doubled for each try that ended for lack of memory."""
    result: Any = None
    payload: list[Any] = field(default_factory=list)
    """References to the parts of the unit's bytes in the object store."""

    @property
    def part(self) -> int | None:
        """What its bytes are called in the writer's `Spool`; None when it gives none."""
        if self.segment is not None:
            return self.segment.number
        return SOUND if self.kind == "audio" else None

    @property
    def name(self) -> str:
        """For people and logs."""
        return f"segment {self.segment.number}" if self.segment else self.kind


@dataclass(eq=False)
class Job:
    """A movie in work."""

    movie: Movie
    fingerprint: str
    started: float = 0.0
    plan: MoviePlan | None = None
    plan_ref: Any = None
    units: list[Unit] = field(default_factory=list)
    num_open: int = 0
    """Units that are not through."""
    cpu_seconds: float = 0.0
    finished: bool = False
    nodes: set[str] = field(default_factory=set)
    """Ray nodes that worked on it and may hold a copy of its source."""

    @property
    def attempts(self) -> int:
        """The most tries that one of its units took."""
        return max((unit.attempts for unit in self.units), default=1)

    def add(self, kind: UnitKind, segment: Segment | None = None) -> Unit:
        """A further unit that is still to be done."""
        unit = Unit(kind, self, segment)
        self.units.append(unit)
        self.num_open += 1
        return unit
