"""The loss: symmetric cross-modal InfoNCE, with a weight on negatives from the same movie.

For clip i with video v_i and audio a_i, and s_ij = scale * <v_i, a_j>,

    L_i = -log( e^s_ii / ( e^s_ii  +  w * sum over same movie e^s_ij  +  sum over others e^s_ij ) )

in both directions, averaged. Weight w is log(w) added to those logits, so one cross-entropy does
it all; w = 1 leaves the emphasis to the batch policy, which decides how many such negatives meet.
Guards take likely false negatives, neighbours in time or of the same shot, out of the sum.

The baseline that this argues against, `positives = "movie"`, takes other moments of the movie as
what belongs together: with W the other clips of i's movie,

    L_i = mean over j in W of -log( e^s_ij / ( e^s_ij  +  sum over other movies e^s_ij ) )

Over several ranks every clip meets the clips of all ranks: embeddings are gathered *with* gradient,
each rank computes the rows of its own clips, and the mean over ranks (what DDP makes of gradients)
equals the loss of one process with all clips, exactly in the mathematical sense.

Shape suffixes: B this rank's clips, N clips of all ranks, D embedding size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional

from shards_spec.recipe import NANOSECONDS
from trainer.config import LossConfig
from trainer.models import Embeddings
from trainer.stream import Batch


@dataclass(frozen=True)
class Moments:
    """Where the clips of a batch come from; (B,) int64 each."""

    group: torch.Tensor
    """Equal numbers mean within-movie: the same movie, or group of movies."""
    movie: torch.Tensor
    """Equal numbers mean one timeline, which guards are about."""
    shot: torch.Tensor
    """Number of the shot within the movie."""
    start_ns: torch.Tensor
    """Start on the movie's timeline."""

    @staticmethod
    def of(batch: Batch, device: torch.device) -> Moments:
        """Those of a batch, on a device."""
        columns = (batch.group, batch.movie, batch.shot, batch.start_ns)
        return Moments(*(column.to(device, non_blocking=True) for column in columns))


@dataclass(frozen=True)
class Diagnostics:
    """What the loss saw, over this rank's rows and both directions; () float32 without gradient.

    Figures of within-movie negatives are NaN where the batch holds none (one clip a movie).
    """

    positive_similarity: torch.Tensor
    """Mean cosine of a clip's two views, [-1, 1]."""
    within_similarity: torch.Tensor
    """Mean cosine of views of different clips of one movie."""
    cross_similarity: torch.Tensor
    """Mean cosine of views of clips of different movies; NaN with one movie."""
    within_softmax_mass: torch.Tensor
    """Mean share of the softmax, [0, 1], on negatives of the same movie."""
    within_movie_r1: torch.Tensor
    """Share of clips whose other view is nearest among the batch's clips of the same movie."""
    global_r1: torch.Tensor
    """Share of clips whose other view is nearest among the whole batch."""
    guarded_share: torch.Tensor
    """Share of within-movie pairs that the guards took out of the negatives."""

    def stacked(self) -> torch.Tensor:
        """(number of figures,) in field order."""
        return torch.stack([getattr(self, item.name) for item in fields(self)])


@dataclass(frozen=True)
class LossOutput:
    """The loss and what it saw."""

    loss: torch.Tensor
    """() float32, mean over this rank's rows and both directions, nats."""
    diagnostics: Diagnostics


def contrastive_loss(embeddings: Embeddings, moments: Moments, config: LossConfig) -> LossOutput:
    """The loss of this rank's clips against the clips of all ranks.

    Every rank must call it with equally many clips; with `positives = "movie"`, two or more of each
    movie, or the loss is NaN.
    """
    video_ND, audio_ND = gather_with_gradient(
        torch.stack((embeddings.video.float(), embeddings.audio.float()))
    )
    pairs = Pairs.of(moments, config)
    own = slice(pairs.first, pairs.first + len(moments.group))
    # Autocast would do these products in bfloat16, whose 8 bits cannot tell close negatives apart.
    with torch.autocast(video_ND.device.type, enabled=False):
        video_to_audio_BN = video_ND[own] @ audio_ND.T
        audio_to_video_BN = audio_ND[own] @ video_ND.T
    losses, figures = [], []
    for cosine_BN in (video_to_audio_BN, audio_to_video_BN):
        logits_BN = embeddings.scale * cosine_BN + pairs.bias
        losses.append(
            _own_view(logits_BN, pairs)
            if config.positives == "clip"
            else _other_moments(embeddings.scale * cosine_BN, pairs)
        )
        with torch.no_grad():
            figures.append(_diagnose(cosine_BN, logits_BN, pairs))
    mean_figures = torch.stack([figure.stacked() for figure in figures]).mean(dim=0)
    return LossOutput((losses[0] + losses[1]) / 2, Diagnostics(*mean_figures))


@dataclass(frozen=True)
class Pairs:
    """How this rank's clips (rows) relate to those of all ranks (columns)."""

    first: int
    """Column of row 0: the clips of earlier ranks stand before."""
    target: torch.Tensor
    """(B,) int64, column of each row's own other view."""
    same: torch.Tensor
    """(B, N) bool, of the same movie, itself among them."""
    within: torch.Tensor
    """(B, N) bool, another clip of the same movie."""
    guarded: torch.Tensor
    """(B, N) bool, another clip of the same movie that is no negative."""
    bias: torch.Tensor
    """(B, N) float32, added to logits: log of the within-movie weight; -inf where guarded."""

    @staticmethod
    def of(moments: Moments, config: LossConfig) -> Pairs:
        """Every rank must call it, as it gathers."""
        own_4B = torch.stack((moments.group, moments.movie, moments.shot, moments.start_ns))
        all_4N = gather(own_4B.T).T
        device, num_own = own_4B.device, len(moments.group)
        target_B = torch.arange(num_own, device=device) + _rank() * num_own
        gaps = (own_4B[:, :, None] - all_4N[:, None, :]).abs()
        same_BN, one_movie_BN, one_shot_BN = gaps[:3] == 0
        within_BN = same_BN.clone()
        within_BN[torch.arange(num_own, device=device), target_B] = False
        guarded_BN = gaps[3] < round(config.guard_seconds * NANOSECONDS)
        if config.guard_shots:
            guarded_BN = guarded_BN | one_shot_BN
        guarded_BN = guarded_BN & one_movie_BN & within_BN
        bias_BN = (within_BN * math.log(config.within_weight)).masked_fill(guarded_BN, -math.inf)
        return Pairs(_rank() * num_own, target_B, same_BN, within_BN, guarded_BN, bias_BN)


def _own_view(logits_BN: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    return functional.cross_entropy(logits_BN, pairs.target)


def _other_moments(logits_BN: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Every other moment of the movie in turn against all other movies; averaged by clip."""
    others_B1 = logits_BN.masked_fill(pairs.same, -math.inf).logsumexp(dim=1, keepdim=True)
    pair_loss_BN = functional.softplus(others_B1 - logits_BN)
    num_moments_B = pairs.within.sum(dim=1)
    return ((pair_loss_BN * pairs.within).sum(dim=1) / num_moments_B).mean()


def _diagnose(cosine_BN: torch.Tensor, logits_BN: torch.Tensor, pairs: Pairs) -> Diagnostics:
    positive_B1 = cosine_BN.gather(1, pairs.target[:, None])
    mass_B = (logits_BN.softmax(dim=1) * pairs.within).sum(dim=1)
    has_within = pairs.within.any()
    nan = torch.full_like(positive_B1[0, 0], math.nan)
    within_r1 = _top1(cosine_BN.masked_fill(~pairs.same, -math.inf), positive_B1)
    return Diagnostics(
        positive_similarity=positive_B1.mean(),
        within_similarity=_masked_mean(cosine_BN, pairs.within),
        cross_similarity=_masked_mean(cosine_BN, ~pairs.same),
        within_softmax_mass=torch.where(has_within, mass_B.mean(), nan),
        within_movie_r1=torch.where(has_within, within_r1, nan),
        global_r1=_top1(cosine_BN, positive_B1),
        guarded_share=pairs.guarded.sum() / pairs.within.sum(),
    )


def _masked_mean(values_BN: torch.Tensor, mask_BN: torch.Tensor) -> torch.Tensor:
    return (values_BN * mask_BN).sum() / mask_BN.sum()


def _top1(cosine_BN: torch.Tensor, positive_B1: torch.Tensor) -> torch.Tensor:
    """Mean chance that the positive comes first; t equals at the top share the place."""
    beaten_B = (cosine_BN > positive_B1).any(dim=1)
    num_equal_B = (cosine_BN == positive_B1).sum(dim=1)
    return torch.where(beaten_B, 0.0, 1.0 / num_equal_B).mean()


def gather(local: torch.Tensor) -> torch.Tensor:
    """The ranks' tensors, one after the other along the first axis; no gradient."""
    if _world_size() == 1:
        return local
    pieces = [torch.empty_like(local) for _ in range(_world_size())]
    dist.all_gather(pieces, local.contiguous())
    return torch.cat(pieces)


def gather_with_gradient(local_2BD: torch.Tensor) -> torch.Tensor:
    """(2, B, D) of each rank -> (2, N, D); each rank gets back the gradients of all ranks."""
    if _world_size() == 1:
        return local_2BD
    gathered: torch.Tensor = _GatherWithGradient.apply(local_2BD)  # type: ignore[no-untyped-call]
    return gathered


class _GatherWithGradient(torch.autograd.Function):
    """Gathers along axis 1. Backward adds up what every rank found for this rank's part."""

    @staticmethod
    def forward(ctx: Any, local_2BD: torch.Tensor) -> torch.Tensor:
        ctx.num_own = local_2BD.shape[1]
        pieces = [torch.empty_like(local_2BD) for _ in range(_world_size())]
        dist.all_gather(pieces, local_2BD.contiguous())
        return torch.cat(pieces, dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        # gloo has no reduce-scatter in every torch that we support, so all parts are reduced.
        grad_2ND = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad_2ND)
        first = _rank() * ctx.num_own
        return grad_2ND[:, first : first + ctx.num_own]


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if _world_size() > 1 else 0
