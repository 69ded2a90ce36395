"""What kinds of movies cost to preprocess."""

from __future__ import annotations

from dataclasses import dataclass

#: A feature film, for the costs in a single figure.
FEATURE_SECONDS = 105 * 60


@dataclass(frozen=True)
class KindCosts:
    """CPU seconds of one core; the fields but the first are per film second."""

    prepare_seconds: float
    """Of looking into a film, whatever its length."""
    prepare: float
    segment: float
    audio: float
    write: float
    bytes_per_second: float
    """Of the film as it is stored."""

    def core_hours_per_film_hour(self, seconds: float = FEATURE_SECONDS) -> float:
        """Of all tasks, for a film of that length."""
        rest = self.prepare + self.segment + self.audio + self.write
        return self.prepare_seconds / seconds + rest
