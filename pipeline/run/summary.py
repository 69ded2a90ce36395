"""The outcome of a finished run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.run.leftovers import Leftovers
from pipeline.run.progress import Progress
from pipeline.run.work_list import WorkList, is_of_other_versions
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema import MovieRow


@dataclass(frozen=True)
class Summary:
    """The outcome of a finished run."""

    progress: Progress
    rows: tuple[MovieRow, ...]
    """All movies of the corpus, as committed."""
    work: WorkList
    wall_seconds: float
    passed_over: tuple[tuple[str, int], ...] = ()
    """(ending, number) of files of the corpus that are not movies; see `Corpus`."""
    leftovers: Leftovers = field(default_factory=Leftovers)
    """What killed runs had left and this one removed."""
    records_failed: int = 0
    """Writes of the progress record and of the event log that failed; they do not end a run."""

    @property
    def of_other_versions(self) -> tuple[MovieRow, ...]:
        """Movies in the dataset that another version of reelshards or ffmpeg made."""
        return tuple(row for row in self.rows if row.status == "done" and is_of_other_versions(row))

    @property
    def counts(self) -> dict[str, int]:
        """Number of movies by status; only statuses that occur."""
        return dict(sorted(Counter(row.status for row in self.rows).items()))

    @property
    def failed(self) -> tuple[MovieRow, ...]:
        """Movies that are missing from the dataset because of a failure."""
        return tuple(row for row in self.rows if row.status in ("quarantined", "failed"))

    @property
    def skipped(self) -> tuple[MovieRow, ...]:
        """Movies without a usable clip."""
        return tuple(row for row in self.rows if row.status == "skipped")


def movie_hours(rows: Sequence[MovieRow]) -> float:
    """Total length of movies, hours."""
    return sum(row.duration_ns for row in rows) / NANOSECONDS / 3600
