"""Linear probes: how much frozen features reveal about a label, by logistic regression.

Shape suffixes: N training clips, M evaluation clips, F features, K classes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch.nn import functional

from shards_spec.errors import InputError

#: Weight of the squared norm of the (standardized) coefficients, relative to the mean log-loss.
L2 = 1e-3

MAX_ITERATIONS = 500

#: Features that vary less than this among the training clips are not scaled.
MIN_STD = 1e-9


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """Accuracy on clips that the probe was not trained on, with chance."""

    accuracy: float
    """[0, 1]."""
    chance: float
    """Share of the most common class among the evaluation clips: a constant answer scores this."""
    num_classes: int
    num_train_clips: int
    num_eval_clips: int

    def to_json(self) -> dict[str, float]:
        """JSON values."""
        return dataclasses.asdict(self)


def linear_probe(
    train_NF: torch.Tensor,
    train_label_N: torch.Tensor,
    eval_MF: torch.Tensor,
    eval_label_M: torch.Tensor,
) -> ProbeResult:
    """As `probe_answers`, without the single answers."""
    return probe_answers(train_NF, train_label_N, eval_MF, eval_label_M)[0]


def probe_answers(
    train_NF: torch.Tensor,
    train_label_N: torch.Tensor,
    eval_MF: torch.Tensor,
    eval_label_M: torch.Tensor,
) -> tuple[ProbeResult, torch.Tensor]:
    """Train on the first pair, evaluate on the second. Labels are int64 from 0.

    Returns the result, and (M,) bool: which evaluation clips were classified correctly.

    Raises `InputError` for features that are NaN or infinite.
    """
    for name, features in (("training", train_NF), ("evaluation", eval_MF)):
        num_bad = int((~features.isfinite().all(dim=1)).sum())
        if num_bad:
            raise InputError(f"{num_bad} {name} clips of a probe have NaN or infinite features")
    num_classes = int(torch.cat((train_label_N, eval_label_M)).max()) + 1
    mean_F = train_NF.double().mean(dim=0)
    std_F = train_NF.double().std(dim=0, correction=0)
    # A constant feature carries no information, and its deviation of zero cannot be divided by.
    std_F = torch.where(std_F > MIN_STD, std_F, torch.ones_like(std_F))
    scaled_NF = (train_NF.double() - mean_F) / std_F
    weights_KF, bias_K = fit_logistic(scaled_NF, train_label_N, num_classes)
    logits_MK = ((eval_MF.double() - mean_F) / std_F) @ weights_KF.T + bias_K
    is_right_M = logits_MK.argmax(dim=1) == eval_label_M
    most_common = torch.bincount(eval_label_M).max()
    result = ProbeResult(
        accuracy=float(is_right_M.double().mean()),
        chance=float(most_common) / len(eval_label_M),
        num_classes=len(set(train_label_N.tolist()) | set(eval_label_M.tolist())),
        num_train_clips=len(train_NF),
        num_eval_clips=len(eval_MF),
    )
    return result, is_right_M


def fit_logistic(
    features_NF: torch.Tensor,
    label_N: torch.Tensor,
    num_classes: int,
    l2: float = L2,
    max_iterations: int = MAX_ITERATIONS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (K, F) and bias (K,) that minimize mean log-loss + l2 / 2 * |weights|^2.

    `label_N` is (N,) int64, or (N, K) of 0 and 1 where a clip may have several labels: then the
    log-loss is that of K independent answers, summed.

    The problem is convex and starts from zero, so the solution is deterministic.
    """
    weights_KF = features_NF.new_zeros(num_classes, features_NF.shape[1], requires_grad=True)
    bias_K = features_NF.new_zeros(num_classes, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights_KF, bias_K],
        max_iter=max_iterations,
        tolerance_grad=1e-7,
        line_search_fn="strong_wolfe",
    )

    def objective() -> float:
        solver.zero_grad()
        logits_NK = features_NF @ weights_KF.T + bias_K
        loss = log_loss(logits_NK, label_N) + l2 / 2 * weights_KF.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    solver.step(objective)  # type: ignore[no-untyped-call]
    return weights_KF.detach(), bias_K.detach()


def log_loss(logits_NK: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
    """The mean log-loss of `fit_logistic`, for labels of either kind."""
    if label_N.ndim == 1:
        return functional.cross_entropy(logits_NK, label_N)
    loss_NK = functional.binary_cross_entropy_with_logits(
        logits_NK, label_N.to(logits_NK.dtype), reduction="none"
    )
    return loss_NK.sum(dim=1).mean()
