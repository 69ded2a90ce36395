"""Settings of the contrastive loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.settings.checks import positive, require


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The contrastive loss; see `trainer/learning/loss.py`."""

    within_weight: float = 1.0
    """Weight of within-movie negatives; 1 leaves the emphasis to the batch policy."""
    positives: Literal["clip", "movie"] = "clip"
    """Which pairs are positives: the two views of one clip, or views of *different* clips of one
    movie. `movie` is the baseline that within-movie negatives argue against: nothing of the same
    movie is a negative, and the model learns what identifies the movie."""
    guard_seconds: float = 0.0
    """Clips of one movie that start less than this apart are not each other's negatives."""
    guard_shots: bool = False
    """Clips of one shot are not each other's negatives."""

    def __post_init__(self) -> None:
        positive("loss.within-weight", self.within_weight)
        require(
            0 <= self.guard_seconds < 1e9,
            f"loss.guard-seconds = {self.guard_seconds:g}: must be at least 0 and below 1e9",
        )
        require(
            self.positives in ("clip", "movie"),
            f"loss.positives = {self.positives}: must be clip or movie",
        )
        acts_on_negatives = self.within_weight != 1 or self.guard_seconds > 0 or self.guard_shots
        require(
            self.positives == "clip" or not acts_on_negatives,
            "loss.positives = movie has no within-movie negatives for loss.within-weight and the "
            "guards to act on; leave them at their defaults",
        )
