"""Whether and when a unit is attempted again after a failure; the classes are `failure_classes`."""

from __future__ import annotations

import hashlib

from pipeline.engine.failure_classes import MAX_LOST_ATTEMPTS, failure_class
from pipeline.engine.jobs import Unit
from shards_spec.errors import OutageError

#: How often the memory of a unit is doubled at most.
_MAX_MEMORY_DOUBLINGS = 4

#: How often the delay before a retry is doubled at most.
_MAX_DELAY_DOUBLINGS = 8


def count_attempt(unit: Unit, error: Exception) -> None:
    """Record that the unit's attempt ended in `error`."""
    retry = failure_class(error).retry
    if retry == "for free":
        unit.attempts -= 1
        unit.lost_attempts += 1
    elif retry == "with more memory":
        unit.memory_factor = min(2 * unit.memory_factor, 2**_MAX_MEMORY_DOUBLINGS)


def retry_delay_seconds(
    unit: Unit, error: Exception, max_attempts: int, first_delay_seconds: float
) -> float | None:
    """Seconds until the unit's next attempt after `error`, or None when none is left.

    The delay doubles with each attempt. A jitter of up to 50 %, fixed by movie, unit and attempt,
    keeps tasks that failed together from returning together.
    """
    retry = failure_class(error).retry
    if isinstance(error, OutageError):
        # The operation has been repeated for minutes already.
        return None
    if retry == "for free":
        attempts, allowed = unit.lost_attempts, unit.lost_attempts < MAX_LOST_ATTEMPTS
    else:
        attempts, allowed = unit.attempts, retry != "never" and unit.attempts < max_attempts
    if not allowed:
        return None
    name = f"{unit.job.movie.movie_id} {unit.name} {attempts}"
    jitter = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**33
    doublings = min(attempts - 1, _MAX_DELAY_DOUBLINGS)
    return float(first_delay_seconds * 2**doublings * (1 + jitter))
