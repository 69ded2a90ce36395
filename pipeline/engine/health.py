"""Stops a run that fails as a whole, instead of quarantining the corpus movie by movie.

Movies fail one by one for reasons of their own. When most of them fail for one and the same reason
outside of them (a store that does not answer, a full disk, a missing decoder), continuing would
only produce a long list of failures.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from pipeline.engine.failure_classes import CLASSES, failure_class
from pipeline.errors import MovieError
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError, ReelshardsError


class RunStoppedError(InputError):
    """The run was stopped because it fails as a whole; its movies are probably not the cause."""


class DrainedError(ReelshardsError):
    """The run stopped on request; what is committed stays."""

    exit_code: ClassVar[int] = ExitCode.DRAINED
    prefix: ClassVar[str] = ""


class Health:
    """Counts how the movies of a run end."""

    def __init__(self, stop_after: int, failure_fraction: float) -> None:
        """Stop when at least `stop_after` movies, and more than this fraction of all, failed alike.

        Args:
            stop_after: movies with the same error class, at least 1.
            failure_fraction: of the finished movies, in (0, 1].
        """
        self._stop_after = stop_after
        self._failure_fraction = failure_fraction
        self._finished = 0
        self._failed: Counter[str] = Counter()
        self._movie_ids: dict[str, list[str]] = {}

    def note_end(self, movie_id: str, error: MovieError | None) -> str:
        """Record that a movie ended, with `error` or well.

        Returns the error class that the run must stop for, or an empty string.
        """
        self._finished += 1
        if error is None or failure_class(error).fault == "movie":
            return ""
        name = error.error_class
        self._failed[name] += 1
        self._movie_ids.setdefault(name, []).append(movie_id)
        count = self._failed[name]
        is_over = count >= self._stop_after and count > self._failure_fraction * self._finished
        return name if is_over else ""

    def movies_of(self, error_class: str) -> list[str]:
        """The movies that failed with this class, in the order of their ends."""
        return self._movie_ids.get(error_class, [])

    def stopped(self, error_class: str, last: MovieError) -> RunStoppedError:
        """The error that ends the run."""
        return RunStoppedError(
            f"stopped: {self._failed[error_class]} of {self._finished} movies failed with "
            f"{error_class!r}, so the movies are probably not the cause; "
            f"{CLASSES[error_class].plain_advice}. These movies are not quarantined: the next run "
            f"processes them again. The last error: {last}"
        )
