"""What kinds of movies cost to preprocess."""

from __future__ import annotations

from dataclasses import dataclass

#: Length of a feature film, for costs as a single number.
FEATURE_SECONDS = 105 * 60


@dataclass(frozen=True)
class KindCosts:
    """CPU seconds of one core; all fields but the first are per movie second."""

    prepare_seconds: float
    """Of preparing a movie: the part that does not depend on its length."""
    prepare: float
    segment: float
    audio: float
    write: float
    bytes_per_second: float
    """Of the stored file."""

    def core_hours_per_film_hour(self, seconds: float = FEATURE_SECONDS) -> float:
        """Of all tasks, for a movie of this length."""
        rest = self.prepare + self.segment + self.audio + self.write
        return self.prepare_seconds / seconds + rest
