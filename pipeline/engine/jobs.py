"""A movie in progress and its units: what the scheduler orders and the engine runs.

    prepare -> audio, segment, segment, ... -> write

A unit is one task: it is queued, runs, and may run again; every attempt produces the same bytes.
If a run has several views of a movie, one task may do the same unit of several of its jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.audio.clips import MovieAudio
from pipeline.errors import SourceOutageError
from pipeline.movie.spool import AUDIO_PART, PartKey
from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Segment
from pipeline.sources import Movie
from pipeline.video.segment import VideoSegment
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage

#: Longest delay before a retry while a store is unavailable, seconds.
_MAX_OUTAGE_DELAY_SECONDS = 10.0


@dataclass(frozen=True)
class View:
    """A dataset that a run makes of its corpus."""

    storage: Storage
    recipe: Recipe
    name: str = ""
    """Empty if it is the only one."""


@dataclass(frozen=True)
class Assignment:
    """A movie that a run processes for one of its views."""

    movie: Movie
    fingerprint: str
    """Of its source; empty if the source could not be read."""
    first_shard: int = 0
    """Number of its first new shard, above those that the dataset still lists."""
    has_clips: bool = False
    """Whether the dataset has usable clips of a previous version of the source."""
    view: int = 0
    """Number of the view."""

    @property
    def part(self) -> tuple[str, Movie]:
        """Equal for assignments of the same part of the same source, whatever datasets name it."""
        return self.fingerprint, replace(self.movie, movie_id="", group="", metadata=())


UnitKind = Literal["prepare", "segment", "audio", "write"]


@dataclass(eq=False)
class Unit:
    """One task of a movie."""

    kind: UnitKind
    job: Job
    segment: Segment | None = None
    attempts: int = 0
    """So far, without `lost_attempts`."""
    lost_attempts: int = 0
    """Attempts that ended because a node or its data was lost."""
    outage_began: float | None = None
    """When the source's store was found to be unavailable, seconds on the engine's clock; None
    while it is not."""
    memory_factor: int = 1
    """Doubled after each attempt that ran out of memory."""
    result: VideoSegment | MovieAudio | None = None
    """Of a segment or audio unit that has succeeded."""
    is_counted: bool = False
    """Whether its part of the movie was reported as decoded."""
    payload: list[Any] = field(default_factory=list)
    """Ray references to the parts of the unit's bytes in the object store."""

    def is_twin_of(self, other: Unit) -> bool:
        """Whether one task can do both: the same work for two views of a movie."""
        number, other_number = (unit.segment and unit.segment.number for unit in (self, other))
        is_same_work = (self.kind, number) == (other.kind, other_number)
        is_shared = self.kind in ("prepare", "segment")
        return is_shared and is_same_work and self.job in other.job.siblings

    def outage_delay_seconds(
        self, error: Exception, now: float, patience_seconds: float
    ) -> float | None:
        """Seconds until the next attempt while the source's store is unavailable; it does not
        count.

        None if `error` is of another kind, or the store has been unavailable for
        `patience_seconds`. `now` is in seconds on the engine's clock.
        """
        if not isinstance(error, SourceOutageError):
            self.outage_began = None
            return None
        if self.outage_began is None:
            self.outage_began = now
        waited = now - self.outage_began
        if waited >= patience_seconds:
            return None
        self.attempts -= 1
        return min(_MAX_OUTAGE_DELAY_SECONDS, 1.0 + waited / 2)

    @property
    def part(self) -> PartKey | None:
        """Key of its bytes in the writer's `Spool`; None when it produces none."""
        if self.segment is not None:
            return self.segment.number
        return AUDIO_PART if self.kind == "audio" else None

    @property
    def name(self) -> str:
        """For people and logs."""
        return f"segment {self.segment.number}" if self.segment else self.kind


@dataclass(eq=False)
class Job:
    """A movie in progress, for one view."""

    movie: Movie
    fingerprint: str
    first_shard: int = 0
    started: float = 0.0
    """Seconds on the engine's clock."""
    plan: MoviePlan | None = None
    plan_ref: Any = None
    """Ray reference to the plan."""
    units: list[Unit] = field(default_factory=list)
    num_open: int = 0
    """Units that have not succeeded yet."""
    cpu_seconds: float = 0.0
    """Of ffmpeg."""
    finished: bool = False
    nodes: set[str] = field(default_factory=set)
    """Ray nodes that worked on it and may have a copy of its source."""
    view: int = 0
    """Number of the view."""
    siblings: Sequence[Job] = ()
    """The same movie for other views."""

    @property
    def attempts(self) -> int:
        """The most attempts that one of its units took."""
        return max((unit.attempts for unit in self.units), default=1)

    def add(self, kind: UnitKind, segment: Segment | None = None) -> Unit:
        """Append a unit that is still to be done."""
        unit = Unit(kind, self, segment)
        self.units.append(unit)
        self.num_open += 1
        return unit
