"""Probes of frozen features: nearest neighbors, and a linear classifier.

Shape suffixes: N training files, Q test files, F features, K classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from trainer.runs.scoring.probes import fit_logistic
from trainer.transfer.scores import score

#: Weights of the squared norm that the linear probe chooses from.
REGULARIZATIONS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

#: Steps of the solver in a comparison of regularizations, and for the final probe.
_COMPARING_STEPS, _FINAL_STEPS = 100, 500

#: Features that vary less than this among the training files are not scaled.
MIN_STD = 1e-9


def knn_scores(
    train_NF: torch.Tensor,
    target_NK: torch.Tensor,
    test_QF: torch.Tensor,
    *,
    neighbors: int,
    temperature: float,
) -> torch.Tensor:
    """(Q, K): votes of the nearest training files by cosine, in [0, 1].

    A vote is e to the cosine over the temperature, divided by the sum of the neighbors' votes.
    """
    train = functional.normalize(train_NF.double(), dim=1)
    cosine_QN = functional.normalize(test_QF.double(), dim=1) @ train.T
    nearest = cosine_QN.topk(min(neighbors, len(train)), dim=1)
    vote_QJ = (nearest.values / temperature).softmax(dim=1)
    return (vote_QJ[:, :, None] * target_NK.double()[nearest.indices]).sum(dim=1)


def linear_scores(
    train_NF: torch.Tensor,
    target_NK: torch.Tensor,
    test_QF: torch.Tensor,
    l2: float,
    *,
    many: bool,
    max_steps: int = _FINAL_STEPS,
) -> torch.Tensor:
    """(Q, K): logits of a logistic regression on features of unit spread."""
    train, test = train_NF.double(), test_QF.double()
    mean_F, std_F = train.mean(dim=0), train.std(dim=0, correction=0)
    std_F = torch.where(std_F > MIN_STD, std_F, torch.ones_like(std_F))
    labels = target_NK.double() if many else target_NK.int().argmax(dim=1)
    scaled_NF = (train - mean_F) / std_F
    weights_KF, bias_K = fit_logistic(scaled_NF, labels, target_NK.shape[1], l2, max_steps)
    return ((test - mean_F) / std_F) @ weights_KF.T + bias_K


def chosen_regularization(
    train_NF: torch.Tensor,
    target_NK: torch.Tensor,
    groups: Sequence[str],
    *,
    num_folds: int,
    many: bool,
) -> float:
    """The one of `REGULARIZATIONS` with the best mean score over inner folds of training files.

    Files of one group are in one inner fold. Of equals, the largest is chosen; without two groups
    there is nothing to choose by, and the middle one is taken.
    """
    fold_N = torch.tensor(inner_folds(groups, num_folds))
    folds = sorted(set(fold_N.tolist()))
    if len(folds) < 2:
        return REGULARIZATIONS[len(REGULARIZATIONS) // 2]
    metric = "map" if many else "top1"
    means = {}
    for l2 in REGULARIZATIONS:
        found = []
        for fold in folds:
            out = fold_N == fold
            scores = linear_scores(
                *(train_NF[~out], target_NK[~out], train_NF[out], l2),
                many=many,
                max_steps=_COMPARING_STEPS,
            )
            found.append(score(scores, target_NK[out], many=many)[metric])
        means[l2] = sum(found) / len(found)
    return max(REGULARIZATIONS, key=lambda l2: (means[l2], l2))


def inner_folds(groups: Sequence[str], num_folds: int) -> list[int]:
    """The inner fold of each file: whole groups, in a mixed order, each to the smallest fold.

    The same on every call.
    """
    members = defaultdict(list)
    for at, group in enumerate(groups):
        members[group].append(at)
    names = sorted(members)
    np.random.default_rng(0).shuffle(names)
    sizes = [0] * num_folds
    fold_of = {}
    for name in names:
        smallest = sizes.index(min(sizes))
        fold_of[name] = smallest
        sizes[smallest] += len(members[name])
    return [fold_of[group] for group in groups]
