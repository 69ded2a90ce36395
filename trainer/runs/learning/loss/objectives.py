"""Losses of a batch's pairs, each a pure function of cosines and pairs.

    info_nce         -log softmax of the positive among all weighted pairs
    siglip           a sigmoid per pair (arXiv:2303.15343), with a learned bias
    hard_negatives   InfoNCE with negatives weighted by their own similarity (arXiv:2010.04592) and
                     corrected for a share of false negatives (arXiv:2007.00224)
    other_clips      InfoNCE with other clips of the movie as positives

`Pairs.log_weight` weights the negatives of each of them: a pair of weight w counts as w pairs.

Shape suffixes: B this rank's clips, M columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from trainer.runs.learning.loss.pairs import Pairs
from trainer.settings import LossConfig


@dataclass(frozen=True)
class Rows:
    """The loss of every row, and what each negative contributes to it."""

    loss: torch.Tensor
    """(B,) float32, nats."""
    mass: torch.Tensor
    """(B, M) float32 without gradient, [0, 1]: each negative's share of a row; the positive has the
    rest. For `info_nce` this is the softmax. 0 for the positive."""


def objective(
    cosine_BM: torch.Tensor,
    scale: torch.Tensor,
    pairs: Pairs,
    config: LossConfig,
    bias: torch.Tensor | None = None,
) -> Rows:
    """The loss that `config` selects.

    Args:
        cosine_BM: similarities, [-1, 1].
        scale: () float32, factor of the similarities, 1 / temperature.
        bias: () float32, added to every logit; for `siglip` only.
    """
    if config.positives != "clip":
        return other_clips(cosine_BM, scale, pairs)
    if config.objective == "siglip":
        assert bias is not None, "the criterion has the bias"
        return siglip(cosine_BM, scale, pairs, bias)
    if config.objective == "hard":
        return hard_negatives(cosine_BM, scale, pairs, config.hardness, config.positive_prior)
    if config.objective == "debiased":
        return hard_negatives(cosine_BM, scale, pairs, 0.0, config.positive_prior)
    return info_nce(cosine_BM, scale, pairs)


def info_nce(cosine_BM: torch.Tensor, scale: torch.Tensor, pairs: Pairs) -> Rows:
    """-log( e^s_ii / ( e^s_ii + sum over negatives w_ij e^s_ij ) )."""
    logits_BM = scale * cosine_BM + pairs.log_weight
    loss_B = functional.cross_entropy(logits_BM, pairs.target, reduction="none")
    return Rows(loss_B, _without_target(logits_BM.detach().softmax(dim=1), pairs))


def siglip(cosine_BM: torch.Tensor, scale: torch.Tensor, pairs: Pairs, bias: torch.Tensor) -> Rows:
    """-log sigmoid(z_ii) - sum over negatives w_ij log sigmoid(-z_ij), with z = s + bias.

    A negative's mass is its w_ij sigmoid(z_ij) in the sum of these and sigmoid(z_ii): the softmax,
    where the bias is low.
    """
    logits_BM = scale * cosine_BM + bias
    target_B1 = pairs.target[:, None]
    weight_BM = _without_target(pairs.log_weight.exp(), pairs)
    negatives_B = (weight_BM * functional.softplus(logits_BM)).sum(dim=1)
    loss_B = functional.softplus(-logits_BM.gather(1, target_B1)[:, 0]) + negatives_B
    log_mass_BM = functional.logsigmoid(logits_BM.detach()) + pairs.log_weight
    return Rows(loss_B, _without_target(log_mass_BM.softmax(dim=1), pairs))


def hard_negatives(
    cosine_BM: torch.Tensor,
    scale: torch.Tensor,
    pairs: Pairs,
    hardness: float,
    positive_prior: float,
) -> Rows:
    """-log( e^s_ii / ( e^s_ii + R_i ) ), with n the weights' sum, p the prior, and

        H_i = n * sum w_ij e^((1 + hardness) s_ij) / sum w_ij e^(hardness s_ij)
        R_i = max( (H_i - p n e^s_ii) / (1 - p),  n e^(-scale) )

    With hardness 0, H_i is the plain sum of the negatives: the debiased loss; with p = 0 as well,
    it is InfoNCE (apart from the lower bound, which no cosine goes below).
    """
    scaled_BM = scale * cosine_BM
    log_weight_BM = pairs.log_weight.scatter(1, pairs.target[:, None], -math.inf)
    # Guards can leave a row without negatives, whose sums would have no logarithm.
    is_alone_B1 = log_weight_BM.isneginf().all(dim=1, keepdim=True)
    log_weight_BM = log_weight_BM.masked_fill(is_alone_B1, 0.0)
    log_count_B = log_weight_BM.logsumexp(dim=1)
    harder_BM = log_weight_BM + (1.0 + hardness) * scaled_BM
    log_sum_B = (
        harder_BM.logsumexp(dim=1)
        - (log_weight_BM + hardness * scaled_BM).logsumexp(dim=1)
        + log_count_B
    )
    # Everything relative to the positive, as logarithms: the sums themselves overflow.
    positive_B = scaled_BM.gather(1, pairs.target[:, None])[:, 0]
    relative_B = log_sum_B - positive_B
    lowest_B = log_count_B - scale - positive_B
    if positive_prior > 0:
        false_B = math.log(positive_prior) + log_count_B
        is_larger_B = relative_B > false_B
        share_B = torch.where(is_larger_B, false_B - relative_B, -1.0).exp().clamp(max=1 - 1e-6)
        corrected_B = relative_B + torch.log1p(-share_B) - math.log1p(-positive_prior)
        relative_B = torch.where(is_larger_B, corrected_B.maximum(lowest_B), lowest_B)
    loss_B = functional.softplus(relative_B).masked_fill(is_alone_B1[:, 0], 0.0)
    share_B1 = relative_B.detach().sigmoid()[:, None].masked_fill(is_alone_B1, 0.0)
    return Rows(loss_B, share_B1 * harder_BM.detach().softmax(dim=1))


def other_clips(cosine_BM: torch.Tensor, scale: torch.Tensor, pairs: Pairs) -> Rows:
    """Each positive (`Pairs.other`) in turn against all other movies; averaged per clip.

    The mass is that of `info_nce`, to be compared with it; nothing here is a within-movie negative.
    """
    scaled_BM = scale * cosine_BM
    # Empty slots of the queue are of no movie.
    is_no_other_BM = pairs.same | pairs.log_weight.isneginf()
    others_B1 = scaled_BM.masked_fill(is_no_other_BM, -math.inf).logsumexp(dim=1, keepdim=True)
    pair_loss_BM = functional.softplus(others_B1 - scaled_BM)
    num_positives_B = pairs.other.sum(dim=1)
    loss_B = (pair_loss_BM * pairs.other).sum(dim=1) / num_positives_B
    mass_BM = (scaled_BM + pairs.log_weight).detach().softmax(dim=1)
    return Rows(loss_B, _without_target(mass_BM, pairs))


def _without_target(values_BM: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    return values_BM.scatter(1, pairs.target[:, None], 0.0)
