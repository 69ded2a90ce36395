"""Linear probes: how much a frozen feature knows of a label, by logistic regression.

Shape suffixes: N clips fitted on, M clips judged on, F features, K classes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch.nn import functional

#: Weight of the squared norm of the (standardised) coefficients, beside the mean log-loss.
L2 = 1e-3

MAX_ITERATIONS = 500


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """Accuracy on clips that the probe was not fitted on, beside chance."""

    accuracy: float
    """[0, 1]."""
    chance: float
    """Share of the commonest class among the judged clips: what answering it always gives."""
    num_classes: int
    num_fitted: int
    num_judged: int

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return dataclasses.asdict(self)


def linear_probe(
    fit_NF: torch.Tensor,
    fit_label_N: torch.Tensor,
    judge_MF: torch.Tensor,
    judge_label_M: torch.Tensor,
) -> ProbeResult:
    """Fit on the first pair, judge on the second. Labels are int64 from 0."""
    num_classes = int(torch.cat((fit_label_N, judge_label_M)).max()) + 1
    mean_F = fit_NF.double().mean(dim=0)
    std_F = fit_NF.double().std(dim=0, correction=0)
    # A feature that never changed while fitting says nothing; dividing by its zero would.
    std_F = torch.where(std_F > 1e-9, std_F, torch.ones_like(std_F))
    weights_KF, bias_K = fit_logistic((fit_NF.double() - mean_F) / std_F, fit_label_N, num_classes)
    logits_MK = ((judge_MF.double() - mean_F) / std_F) @ weights_KF.T + bias_K
    hits_M = logits_MK.argmax(dim=1) == judge_label_M
    commonest = torch.bincount(judge_label_M).max()
    return ProbeResult(
        accuracy=float(hits_M.double().mean()),
        chance=float(commonest) / len(judge_label_M),
        num_classes=len(set(fit_label_N.tolist()) | set(judge_label_M.tolist())),
        num_fitted=len(fit_NF),
        num_judged=len(judge_MF),
    )


def fit_logistic(
    features_NF: torch.Tensor, label_N: torch.Tensor, num_classes: int, l2: float = L2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (K, F) and bias (K,) that minimise mean log-loss + l2 / 2 * |weights|^2.

    The problem is convex and starts from zero, so the answer has no randomness.
    """
    weights_KF = features_NF.new_zeros(num_classes, features_NF.shape[1], requires_grad=True)
    bias_K = features_NF.new_zeros(num_classes, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights_KF, bias_K],
        max_iter=MAX_ITERATIONS,
        tolerance_grad=1e-7,
        line_search_fn="strong_wolfe",
    )

    def objective() -> float:
        solver.zero_grad()
        logits_NK = features_NF @ weights_KF.T + bias_K
        loss = functional.cross_entropy(logits_NK, label_N) + l2 / 2 * weights_KF.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    solver.step(objective)  # type: ignore[no-untyped-call]
    return weights_KF.detach(), bias_K.detach()
