"""How far features agree with a judge: a linear probe for its tags, and nearest neighbors.

Shape suffixes: N clips or files, F features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from trainer.runs.scoring.probes import MIN_STD
from trainer.runs.scoring.tags import MIN_EVAL_CLIPS, MIN_TRAIN_CLIPS, precisions, tag_logits

NUM_FOLDS = 5

#: A clip is near another within so many seconds: it does not train the probe that is evaluated on
#: the other, and is not its neighbor.
NEAR_SECONDS = 10.0

#: Tags of more of the material are not asked for.
MAX_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Layout:
    """Which clips or files belong together."""

    block: NDArray[np.int64]
    """(N,): consecutive ones have the same number."""
    seconds: NDArray[np.float64]
    """(N,): when each starts; infinitely far apart for files of their own."""

    def near(self) -> torch.Tensor:
        """(N, N) bool: which are near each other."""
        with np.errstate(invalid="ignore"):
            distance = np.abs(self.seconds[:, None] - self.seconds)
        return torch.from_numpy(distance < NEAR_SECONDS)


@dataclass(frozen=True)
class Score:
    """A figure with its parts."""

    value: float
    chance: float
    num_tags: int
    by_block: dict[str, list[float]]
    """(sum of scores, sum of weights), as `trainer.study.by_movie.MovieScores`."""


def tag_score(features_NF: torch.Tensor, tags_NK: NDArray[np.bool_], layout: Layout) -> Score:
    """Mean average precision over folds and tags, of clips that the probe was not trained on."""
    has_NK = torch.from_numpy(tags_NK)
    has_NK = has_NK[:, has_NK.double().mean(dim=0) <= MAX_SHARE]
    near_NN, fold_N = layout.near(), torch.from_numpy(layout.block % NUM_FOLDS)
    sums_N, weights_N = torch.zeros(len(has_NK)).double(), torch.zeros(len(has_NK)).double()
    shares, used = [], set()
    for fold in range(NUM_FOLDS):
        is_evaluated_N = fold_N == fold
        is_train_N = ~is_evaluated_N & ~near_NN[:, is_evaluated_N].any(dim=1)
        is_used_K = (has_NK[is_train_N].sum(dim=0) >= MIN_TRAIN_CLIPS) & (
            has_NK[is_evaluated_N].sum(dim=0) >= MIN_EVAL_CLIPS
        )
        if not is_used_K.any():
            continue
        train, evaluated = has_NK[is_train_N][:, is_used_K], has_NK[is_evaluated_N][:, is_used_K]
        logits = tag_logits(features_NF[is_train_N], train, features_NF[is_evaluated_N])
        weights = evaluated.double() / evaluated.sum(dim=0)
        sums_N[is_evaluated_N] += (precisions(logits, evaluated) * weights).sum(dim=1)
        weights_N[is_evaluated_N] += weights.sum(dim=1)
        shares += evaluated.double().mean(dim=0).tolist()
        used |= set(is_used_K.nonzero().flatten().tolist())
    value, chance = float(sums_N.sum() / weights_N.sum()), float(np.mean(shares))
    return Score(value, chance, len(used), _by_block(layout, sums_N, weights_N))


def neighbor_score(
    features_NF: torch.Tensor, logits_NK: NDArray[np.float64], layout: Layout
) -> Score:
    """How similar the judge finds the nearest neighbor: 0 as a random one, 1 as its own choice."""
    judged_NK = torch.from_numpy(logits_NK)
    judged_NK = functional.normalize(judged_NK - judged_NK.mean(dim=0))
    scaled_NF = functional.normalize(standardized(features_NF))
    block_N = torch.from_numpy(layout.block)
    is_candidate_NN = ~layout.near() & (block_N[:, None] != block_N)
    similarity_NN = judged_NK @ judged_NK.T
    own_NN = (scaled_NF @ scaled_NF.T).masked_fill(~is_candidate_NN, -2.0)
    found_N = similarity_NN.gather(1, own_NN.argmax(dim=1, keepdim=True))[:, 0]
    random_N = (similarity_NN * is_candidate_NN).sum(dim=1) / is_candidate_NN.sum(dim=1)
    best_N = similarity_NN.masked_fill(~is_candidate_NN, -2.0).amax(dim=1)
    score_N = (found_N - random_N) / (best_N - random_N)
    parts = _by_block(layout, score_N, torch.ones_like(score_N))
    return Score(float(score_N.mean()), 0.0, 0, parts)


def standardized(features_NF: torch.Tensor) -> torch.Tensor:
    """Float64 with mean 0 and deviation 1 in each column that varies."""
    centered = features_NF.double() - features_NF.double().mean(dim=0)
    std_F = centered.std(dim=0, correction=0)
    return centered / torch.where(std_F > MIN_STD, std_F, torch.ones_like(std_F))


def _by_block(
    layout: Layout, sums_N: torch.Tensor, weights_N: torch.Tensor
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for block in np.unique(layout.block):
        own = torch.from_numpy(layout.block == block)
        found[f"{block:03d}"] = [float(sums_N[own].sum()), float(weights_N[own].sum())]
    return found
