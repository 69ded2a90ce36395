"""Statistics of a step's similarities, for the metrics.

Shape suffixes: B this rank's clips, N clips of all ranks, M columns with those of the queue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from trainer.runs.learning.loss.pairs import Pairs


@dataclass(frozen=True)
class Diagnostics:
    """Statistics over this rank's rows and both directions; each () float32 without gradient.

    Statistics of within-movie negatives are NaN if the batch has none (one clip per movie).
    """

    positive_similarity: torch.Tensor
    """Mean cosine of a clip's two views, [-1, 1]."""
    within_similarity: torch.Tensor
    """Mean cosine of views of different clips of one movie."""
    cross_similarity: torch.Tensor
    """Mean cosine of views of clips of different movies; NaN with one movie."""
    within_softmax_mass: torch.Tensor
    """Mean share of the softmax, [0, 1], on negatives of the same movie, with their weight."""
    within_movie_r1: torch.Tensor
    """Share of clips whose other view is nearest among the batch's clips of the same movie."""
    global_r1: torch.Tensor
    """Share of clips whose other view is nearest among the whole batch."""
    guarded_share: torch.Tensor
    """Share of within-movie pairs that the guards removed from the negatives."""
    within_weight: torch.Tensor
    """Weight of within-movie negatives in this step."""

    def stacked(self) -> torch.Tensor:
        """(number of statistics,) in field order."""
        return torch.stack([getattr(self, item.name) for item in fields(self)])


@torch.no_grad()
def diagnose(
    cosine_BM: torch.Tensor, mass_BM: torch.Tensor, pairs: Pairs, within_weight: torch.Tensor
) -> Diagnostics:
    """The statistics of one direction. Similarities and ranks are those of the batch alone."""
    batch = slice(pairs.num_batch)
    cosine_BN, same_BN, within_BN = (
        values[:, batch] for values in (cosine_BM, pairs.same, pairs.within)
    )
    positive_B1 = cosine_BN.gather(1, pairs.target[:, None])
    mass_B = (mass_BM * pairs.within).sum(dim=1)
    has_within = pairs.within.any()
    nan = torch.full_like(positive_B1[0, 0], math.nan)
    within_r1 = _top1(cosine_BN.masked_fill(~same_BN, -math.inf), positive_B1)
    return Diagnostics(
        positive_similarity=positive_B1.mean(),
        within_similarity=_masked_mean(cosine_BN, within_BN),
        cross_similarity=_masked_mean(cosine_BN, ~same_BN),
        within_softmax_mass=torch.where(has_within, mass_B.mean(), nan),
        within_movie_r1=torch.where(has_within, within_r1, nan),
        global_r1=_top1(cosine_BN, positive_B1),
        guarded_share=pairs.guarded.sum() / pairs.within.sum(),
        within_weight=within_weight,
    )


def _masked_mean(values_BN: torch.Tensor, mask_BN: torch.Tensor) -> torch.Tensor:
    return (values_BN * mask_BN).sum() / mask_BN.sum()


def _top1(cosine_BN: torch.Tensor, positive_B1: torch.Tensor) -> torch.Tensor:
    """Mean probability that the positive ranks first; ties at the top share it equally."""
    beaten_B = (cosine_BN > positive_B1).any(dim=1)
    num_equal_B = (cosine_BN == positive_B1).sum(dim=1)
    return torch.where(beaten_B, 0.0, 1.0 / num_equal_B).mean()
