"""What is measured on test files: accuracy, or mean average precision with several labels.

Shape suffixes: N test files, K classes.
"""

from __future__ import annotations

import torch

from trainer.runs.scoring.tags import precisions


def score(scores_NK: torch.Tensor, target_NK: torch.Tensor, *, many: bool) -> dict[str, float]:
    """The metrics of answers; higher scores mean surer answers.

    Args:
        scores_NK: of each file and class.
        target_NK: bool; one class for each file, unless `many`.
        many: whether files have several labels.

    Returns:
        With one label: `top1`, `top5`, `class_mean` (of the accuracy in each class) and `chance`
        (the share of the most common class). With several: `map` and `chance`, the mean share of a
        class. All are in [0, 1].
    """
    if many:
        has_files_K = target_NK.any(dim=0)
        precisions = [
            average_precision(scores_NK[:, at], target_NK[:, at])
            for at in has_files_K.nonzero().flatten().tolist()
        ]
        shares_K = target_NK.double().mean(dim=0)[has_files_K]
        return {"map": sum(precisions) / len(precisions), "chance": float(shares_K.mean())}
    label_N = target_NK.int().argmax(dim=1)
    order_NK = scores_NK.argsort(dim=1, descending=True, stable=True)
    is_right_NK = order_NK == label_N[:, None]
    is_first_N = is_right_NK[:, 0].double()
    classes: torch.Tensor = torch.unique(label_N)
    by_class = torch.stack([is_first_N[label_N == one].mean() for one in classes])
    return {
        "top1": float(is_first_N.mean()),
        "top5": float(is_right_NK[:, :5].any(dim=1).double().mean()),
        "class_mean": float(by_class.mean()),
        "chance": float(torch.bincount(label_N).max()) / len(label_N),
    }


def average_precision(scores_N: torch.Tensor, is_positive_N: torch.Tensor) -> float:
    """Mean of the precision at each positive, by descending score; ties count as one step."""
    precision_N = precisions(scores_N[:, None], is_positive_N[:, None])[:, 0]
    return float(precision_N.sum() / is_positive_N.sum())
