"""Settings of the contrastive loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from trainer.settings.checks import at_least, flag, positive, require

#: See `LossConfig.positives`.
Positives = Literal["clip", "movie", "near", "far"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The contrastive loss; see `trainer/runs/learning/loss/`."""

    objective: Literal["infonce", "siglip", "hard", "debiased"] = "infonce"
    """infonce: softmax over all pairs; siglip: a sigmoid per pair with a learned bias
    (arXiv:2303.15343); hard: InfoNCE that weights negatives by their similarity (arXiv:2010.04592);
    debiased: InfoNCE corrected for false negatives (arXiv:2007.00224)."""
    within_mass: float = 0.0
    """Share of the softmax that within-movie negatives get, (0, 1): their weight is adjusted after
    every step, starting from `--loss.within-weight`, so that the emphasis is the same for every
    batch policy; 0 keeps the weight constant."""
    within_weight: float = 1.0
    """Weight of within-movie negatives; 1 leaves the emphasis to the batch policy."""
    positives: Positives = "clip"
    """Which pairs are positives: the two views of one clip, or views of *different* clips of one
    movie: of all others in the batch (`movie`), of the nearest in time (`near`), or of the farthest
    (`far`). These three are the baselines that within-movie negatives argue against: nothing of the
    same movie is a negative, and the model learns what the movie, or the scene, shares."""
    guard_seconds: float = 0.0
    """Clips of one movie that start less than this apart are not each other's negatives."""
    guard_shots: bool = False
    """Clips of one shot are not each other's negatives."""

    guard_similarity: float = 1.0
    """Clips of one movie whose views have a higher cosine than this are not each other's negatives,
    (-1, 1]: they probably show the same thing; 1 disables it."""
    hardness: float = 0.5
    """For hard: a negative's weight grows with e to this times its logit; 0 weights all alike."""
    positive_prior: float = 0.01
    """For hard and debiased: assumed share of false negatives, [0, 1)."""
    initial_bias: float = -10.0
    """For siglip: the bias of all logits at the start; it is learned."""
    within_modal: float = 0.0
    """Weight of two more terms, each of which compares two augmented views of a clip within one
    modality; doubles the arithmetic of a step; 0 disables them."""
    queue_clips: int = 0
    """Clips of earlier batches that serve as further negatives, with their embeddings of that time;
    those of the same movie are within-movie negatives; 0 disables the queue."""

    def __post_init__(self) -> None:
        require(
            self.objective in ("infonce", "siglip", "hard", "debiased"),
            f"loss.objective = {self.objective}: must be infonce, siglip, hard or debiased",
        )
        positive("loss.within-weight", self.within_weight)
        for name in ("within_mass", "positive_prior"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{flag('loss', name)} = {value:g}: must be in [0, 1)")
        for name in ("hardness", "within_modal"):
            value = getattr(self, name)
            require(
                0 <= value < math.inf,
                f"{flag('loss', name)} = {value:g}: must be at least 0 and finite",
            )
        require(
            math.isfinite(self.initial_bias),
            f"loss.initial-bias = {self.initial_bias:g}: must be finite",
        )
        require(
            -1 < self.guard_similarity <= 1,
            f"loss.guard-similarity = {self.guard_similarity:g}: must be in (-1, 1]",
        )
        require(
            0 <= self.guard_seconds < 1e9,
            f"loss.guard-seconds = {self.guard_seconds:g}: must be at least 0 and below 1e9",
        )
        at_least("loss.queue-clips", self.queue_clips, 0)
        require(
            self.positives in get_args(Positives),
            f"loss.positives = {self.positives}: must be {', '.join(get_args(Positives))}",
        )
        self._check_combination()

    def _check_combination(self) -> None:
        acts_on_negatives = (
            self.within_weight != 1
            or self.within_mass > 0
            or self.guard_seconds > 0
            or self.guard_shots
            or self.guard_similarity < 1
        )
        require(
            self.positives == "clip" or not acts_on_negatives,
            f"loss.positives = {self.positives} has no within-movie negatives for "
            "loss.within-weight, loss.within-mass and the guards to act on; leave them at their "
            "defaults",
        )
        require(
            self.positives == "clip" or self.objective == "infonce",
            f"loss.positives = {self.positives} needs loss.objective = infonce, not "
            f"{self.objective}",
        )

    @property
    def num_views(self) -> int:
        """Augmented views of each clip that a step computes."""
        return 2 if self.within_modal > 0 else 1

    def check_batch(self, num_movies: int, num_clips: int) -> None:
        """Raise `InputError` unless batches of `num_movies` x `num_clips` suit these settings."""
        if self.within_mass > 0:
            require(
                num_movies >= 2 and num_clips >= 2,
                f"loss.within-mass = {self.within_mass:g} divides the softmax between negatives of "
                "the same movie and of others; set policy.movies-per-batch and "
                "policy.clips-per-movie to 2 or more",
            )
        if self.guard_similarity < 1:
            require(
                num_movies >= 2,
                f"loss.guard-similarity = {self.guard_similarity:g} could remove every negative of "
                "a batch of one movie; set policy.movies-per-batch to 2 or more",
            )
        if self.positives != "clip":
            require(
                num_clips >= 2,
                f"loss.positives = {self.positives} needs another clip of the movie in every "
                "batch; set policy.clips-per-movie to 2 or more",
            )
            require(
                num_movies >= 2,
                f"loss.positives = {self.positives} takes its negatives from other movies; set "
                "policy.movies-per-batch to 2 or more",
            )
        require(
            self.queue_clips == 0 or self.queue_clips >= num_movies * num_clips,
            f"loss.queue-clips = {self.queue_clips}: must be 0 or at least the "
            f"{num_movies * num_clips} clips of a batch",
        )
