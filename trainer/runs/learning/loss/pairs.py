"""How the clips of a batch relate: which pairs are within-movie negatives, and how they count.

Shape suffixes: B this rank's clips, N clips of all ranks, Q clips of the memory queue, M = N + Q.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from shards_spec.recipe import NANOSECONDS
from trainer.data.stream import Batch
from trainer.ranks.collectives import gather, rank
from trainer.settings import LossConfig

_FARTHEST = torch.iinfo(torch.int64).max


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

    def stacked(self) -> torch.Tensor:
        """(4, B) int64, in field order."""
        return torch.stack((self.group, self.movie, self.shot, self.start_ns))

    def gathered(self) -> torch.Tensor:
        """(4, N) int64: the origins of all ranks' clips. Every rank must call it."""
        return gather(self.stacked().T).T


@dataclass(frozen=True)
class Pairs:
    """How this rank's clips (rows) relate to those of all ranks and of the queue (columns)."""

    first: int
    """Column of row 0; the columns before it are the clips of earlier ranks."""
    target: torch.Tensor
    """(B,) int64, column of each row's own other view."""
    num_batch: int
    """N: the columns from here on are clips of the memory queue."""
    same: torch.Tensor
    """(B, M) bool, the same movie, including the clip itself."""
    within: torch.Tensor
    """(B, M) bool, another clip of the same movie."""
    other: torch.Tensor
    """(B, M) bool, another clip of the same movie that is a positive, if such clips are: all of
    `within`, or one for each row; see `LossConfig.positives`."""
    guarded: torch.Tensor
    """(B, M) bool, another clip of the same movie that is not a negative."""
    log_weight: torch.Tensor
    """(B, M) float32, logarithm of each pair's weight, added to logits: that of the within-movie
    weight or 0; -inf where a pair is not a negative."""

    @staticmethod
    def of(
        origins: ClipOrigins,
        config: LossConfig,
        log_weight: torch.Tensor | None = None,
        queued_4Q: torch.Tensor | None = None,
    ) -> Pairs:
        """Every rank must call it, because it gathers.

        Args:
            log_weight: () float32, logarithm of the within-movie weight; that of
                `config.within_weight` if None.
            queued_4Q: origins of the clips in the queue; -1 in empty slots.
        """
        own_4B, all_4M = origins.stacked(), origins.gathered()
        num_batch = all_4M.shape[1]
        if queued_4Q is not None:
            all_4M = torch.cat((all_4M, queued_4Q), dim=1)
        device, num_own = own_4B.device, own_4B.shape[1]
        target_B = torch.arange(num_own, device=device) + rank() * num_own
        gaps = (own_4B[:, :, None] - all_4M[:, None, :]).abs()
        same_BM, same_movie_BM, same_shot_BM = gaps[:3] == 0
        is_self_BM = torch.zeros_like(same_BM)
        # The queue holds earlier embeddings of the batch's own clips, too.
        is_self_BM[:, num_batch:] = (same_movie_BM & (gaps[3] == 0))[:, num_batch:]
        is_no_negative_BM = is_self_BM | (all_4M[0] < 0)
        # Not by index: the host would wait for the device to copy the value there.
        is_self_BM.scatter_(1, target_B[:, None], value=True)
        within_BM = same_BM & ~is_self_BM
        guarded_BM = gaps[3] < round(config.guard_seconds * NANOSECONDS)
        if config.guard_shots:
            guarded_BM = guarded_BM | same_shot_BM
        guarded_BM = guarded_BM & same_movie_BM & within_BM
        weight = math.log(config.within_weight) if log_weight is None else log_weight
        log_weight_BM = (within_BM * weight).masked_fill(guarded_BM | is_no_negative_BM, -math.inf)
        other_BM = within_BM
        if config.positives in ("near", "far"):
            # In a group of movies, clips of another movie are farther than any of the same.
            gap_BM = gaps[3].masked_fill(~same_movie_BM, _FARTHEST - 1)
            other_BM = _at_an_end(gap_BM, within_BM, is_near=config.positives == "near")
        return Pairs(
            first=rank() * num_own,
            target=target_B,
            num_batch=num_batch,
            same=same_BM,
            within=within_BM,
            other=other_BM,
            guarded=guarded_BM,
            log_weight=log_weight_BM,
        )

    def guarding(self, cosine_BM: torch.Tensor, highest: float) -> Pairs:
        """The same pairs, with within-movie pairs of a higher cosine than `highest` guarded."""
        if highest >= 1:
            return self
        similar_BM = self.within & (cosine_BM.detach() > highest)
        return dataclasses.replace(
            self,
            guarded=self.guarded | similar_BM,
            log_weight=self.log_weight.masked_fill(similar_BM, -math.inf),
        )


def _at_an_end(gap_BM: torch.Tensor, among_BM: torch.Tensor, *, is_near: bool) -> torch.Tensor:
    """(B, M) bool: in each row the pair of the smallest or largest gap `among_BM`, if any."""
    if is_near:
        column_B1 = gap_BM.masked_fill(~among_BM, _FARTHEST).argmin(dim=1, keepdim=True)
    else:
        column_B1 = gap_BM.masked_fill(~among_BM, -1).argmax(dim=1, keepdim=True)
    return torch.zeros_like(among_BM).scatter_(1, column_B1, value=True) & among_BM
