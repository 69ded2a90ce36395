"""The loss: symmetric cross-modal InfoNCE, with a weight on negatives from the same movie.

For clip i with video v_i and audio a_i, and s_ij = scale * <v_i, a_j>,

    L_i = -log( e^s_ii / ( e^s_ii  +  w * sum over same movie e^s_ij  +  sum over others e^s_ij ) )

in both directions, averaged. The weight w is applied by adding log(w) to those logits, so that one
cross-entropy covers all cases; w = 1 leaves the emphasis to the batch policy, which decides how
many such negatives meet. Guards remove likely false negatives, neighbors in time or clips of the
same shot, from the sum.

The baseline that this argues against, `positives = "movie"`, takes the other clips of the movie as
positives: with W the other clips of i's movie,

    L_i = mean over j in W of -log( e^s_ij / ( e^s_ij  +  sum over other movies e^s_ij ) )

With several ranks every clip is compared with the clips of all ranks: embeddings are gathered
*with* gradient, each rank computes the rows of its own clips, and the mean over ranks (which is
what DDP computes of gradients) equals the loss of one process with all clips, up to rounding.

Shape suffixes: B this rank's clips, N clips of all ranks, D embedding size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch.nn import functional

from shards_spec.recipe import NANOSECONDS
from trainer.config import LossConfig
from trainer.models import Embeddings
from trainer.ranks import gather, gather_with_gradient, rank
from trainer.stream import Batch


@dataclass(frozen=True)
class ClipOrigins:
    """Where the clips of a batch come from; (B,) int64 each."""

    group: torch.Tensor
    """Number of the group, by default the movie; clips of one group are within-movie pairs."""
    movie: torch.Tensor
    """Number of the movie; guards compare clips of one timeline."""
    shot: torch.Tensor
    """Number of the shot within the movie."""
    start_ns: torch.Tensor
    """Start on the movie timeline, nanoseconds."""

    @staticmethod
    def of(batch: Batch, device: torch.device) -> ClipOrigins:
        """The origins of a batch's clips, on a device."""
        columns = (batch.group, batch.movie, batch.shot, batch.start_ns)
        return ClipOrigins(*(column.to(device, non_blocking=True) for column in columns))


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
    """Mean share of the softmax, [0, 1], on negatives of the same movie."""
    within_movie_r1: torch.Tensor
    """Share of clips whose other view is nearest among the batch's clips of the same movie."""
    global_r1: torch.Tensor
    """Share of clips whose other view is nearest among the whole batch."""
    guarded_share: torch.Tensor
    """Share of within-movie pairs that the guards removed from the negatives."""

    def stacked(self) -> torch.Tensor:
        """(number of statistics,) in field order."""
        return torch.stack([getattr(self, item.name) for item in fields(self)])


@dataclass(frozen=True)
class LossOutput:
    """The loss and its statistics."""

    loss: torch.Tensor
    """() float32, mean over this rank's rows and both directions, nats."""
    diagnostics: Diagnostics


def contrastive_loss(
    embeddings: Embeddings, origins: ClipOrigins, config: LossConfig
) -> LossOutput:
    """The loss of this rank's clips against the clips of all ranks.

    Every rank must call it with equally many clips. With `positives = "movie"` the loss is NaN
    unless every movie has at least two clips.
    """
    video_ND, audio_ND = gather_with_gradient(
        torch.stack((embeddings.video.float(), embeddings.audio.float()))
    )
    pairs = Pairs.of(origins, config)
    own = slice(pairs.first, pairs.first + len(origins.group))
    # Autocast would use bfloat16 here, whose 8 bits cannot separate close negatives.
    with torch.autocast(video_ND.device.type, enabled=False):
        video_to_audio_BN = video_ND[own] @ audio_ND.T
        audio_to_video_BN = audio_ND[own] @ video_ND.T
    losses, statistics = [], []
    for cosine_BN in (video_to_audio_BN, audio_to_video_BN):
        logits_BN = embeddings.scale * cosine_BN + pairs.bias
        losses.append(
            _own_view(logits_BN, pairs)
            if config.positives == "clip"
            else _other_clips(embeddings.scale * cosine_BN, pairs)
        )
        with torch.no_grad():
            statistics.append(_diagnose(cosine_BN, logits_BN, pairs))
    means = torch.stack([direction.stacked() for direction in statistics]).mean(dim=0)
    return LossOutput((losses[0] + losses[1]) / 2, Diagnostics(*means))


@dataclass(frozen=True)
class Pairs:
    """How this rank's clips (rows) relate to those of all ranks (columns)."""

    first: int
    """Column of row 0; the columns before it are the clips of earlier ranks."""
    target: torch.Tensor
    """(B,) int64, column of each row's own other view."""
    same: torch.Tensor
    """(B, N) bool, the same movie, including the clip itself."""
    within: torch.Tensor
    """(B, N) bool, another clip of the same movie."""
    guarded: torch.Tensor
    """(B, N) bool, another clip of the same movie that is not a negative."""
    bias: torch.Tensor
    """(B, N) float32, added to logits: log of the within-movie weight; -inf where guarded."""

    @staticmethod
    def of(origins: ClipOrigins, config: LossConfig) -> Pairs:
        """Every rank must call it, because it gathers."""
        own_4B = torch.stack((origins.group, origins.movie, origins.shot, origins.start_ns))
        all_4N = gather(own_4B.T).T
        device, num_own = own_4B.device, len(origins.group)
        target_B = torch.arange(num_own, device=device) + rank() * num_own
        gaps = (own_4B[:, :, None] - all_4N[:, None, :]).abs()
        same_BN, same_movie_BN, same_shot_BN = gaps[:3] == 0
        within_BN = same_BN.clone()
        within_BN[torch.arange(num_own, device=device), target_B] = False
        guarded_BN = gaps[3] < round(config.guard_seconds * NANOSECONDS)
        if config.guard_shots:
            guarded_BN = guarded_BN | same_shot_BN
        guarded_BN = guarded_BN & same_movie_BN & within_BN
        bias_BN = (within_BN * math.log(config.within_weight)).masked_fill(guarded_BN, -math.inf)
        return Pairs(rank() * num_own, target_B, same_BN, within_BN, guarded_BN, bias_BN)


def _own_view(logits_BN: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    return functional.cross_entropy(logits_BN, pairs.target)


def _other_clips(logits_BN: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Each other clip of the movie in turn against all other movies; averaged per clip."""
    others_B1 = logits_BN.masked_fill(pairs.same, -math.inf).logsumexp(dim=1, keepdim=True)
    pair_loss_BN = functional.softplus(others_B1 - logits_BN)
    num_positives_B = pairs.within.sum(dim=1)
    return ((pair_loss_BN * pairs.within).sum(dim=1) / num_positives_B).mean()


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
    """Mean probability that the positive ranks first; ties at the top share it equally."""
    beaten_B = (cosine_BN > positive_B1).any(dim=1)
    num_equal_B = (cosine_BN == positive_B1).sum(dim=1)
    return torch.where(beaten_B, 0.0, 1.0 / num_equal_B).mean()
