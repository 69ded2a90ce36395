"""The loss of a step, and what it remembers from step to step.

Shape suffixes: B this rank's clips, N clips of all ranks, M columns with those of the queue, D
embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from trainer.models import Embeddings
from trainer.ranks.collectives import gather, gather_with_gradient
from trainer.runs.learning.loss.diagnostics import Diagnostics, diagnose
from trainer.runs.learning.loss.mass import WithinWeight
from trainer.runs.learning.loss.objectives import objective
from trainer.runs.learning.loss.pairs import ClipOrigins, Pairs
from trainer.runs.learning.loss.queue import MemoryQueue
from trainer.settings import LossConfig


@dataclass(frozen=True)
class LossOutput:
    """The loss and its statistics."""

    loss: torch.Tensor
    """() float32, mean over this rank's rows and both directions, nats."""
    diagnostics: Diagnostics


class Criterion(nn.Module):
    """The loss of a run: settings, the learned bias, and the state that a checkpoint saves.

    Parts that the settings do not use are None, and then not in the state.
    """

    def __init__(self, config: LossConfig, embedding_size: int) -> None:
        super().__init__()
        self.config = config
        self.within = None
        self.queue = None
        self.bias: nn.Parameter | None = None
        if config.within_mass > 0:
            self.within = WithinWeight(config.within_weight, config.within_mass)
        if config.queue_clips > 0:
            self.queue = MemoryQueue(config.queue_clips, embedding_size)
        if config.objective == "siglip":
            self.bias = nn.Parameter(torch.tensor(config.initial_bias))

    def forward(
        self, embeddings: Embeddings, origins: ClipOrigins, second: Embeddings | None = None
    ) -> LossOutput:
        """The loss of this rank's clips against the clips of all ranks and of the queue.

        Every rank must call it, with equally many clips, and once per step, because it updates
        weight and queue.
        With other clips as positives, the loss is NaN unless every movie has at least two clips.

        Args:
            second: the embeddings of another view of the same clips; needed for within-modal terms.
        """
        views = [embeddings] if second is None else [embeddings, second]
        stacked = [one for view in views for one in (view.video.float(), view.audio.float())]
        gathered = list(gather_with_gradient(torch.stack(stacked)))
        pairs = self._pairs(origins)
        rows = slice(pairs.first, pairs.first + len(origins.group))
        # Autocast would use bfloat16 here, whose 8 bits cannot separate close negatives.
        with torch.autocast(gathered[0].device.type, enabled=False):
            losses, statistics = [], []
            for video_ND, audio_ND in zip(gathered[::2], gathered[1::2], strict=True):
                for cosine_BM in self._cosines(video_ND, audio_ND, rows):
                    loss, seen = self._direction(cosine_BM, embeddings.scale, pairs)
                    losses.append(loss)
                    statistics.append(seen.stacked())
            total = torch.stack(losses).mean()
            if second is not None and self.config.within_modal > 0:
                terms = self._within_modal(gathered, rows, embeddings.scale, origins)
                total = total + self.config.within_modal * terms
        diagnostics = Diagnostics(*torch.stack(statistics).mean(dim=0))
        self._update_state(gathered, origins, diagnostics)
        return LossOutput(total, diagnostics)

    def average_gradients(self) -> None:
        """Average the gradients of the loss's own parameters over the ranks, as DDP does for the
        model's. Every rank must call it."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad.copy_(gather(parameter.grad[None]).mean(dim=0))

    def _pairs(self, origins: ClipOrigins) -> Pairs:
        log_weight = self.within.log_weight if self.within else None
        queued_4Q = self.queue.origins if self.queue else None
        return Pairs.of(origins, self.config, log_weight, queued_4Q)

    def _cosines(
        self, video_ND: torch.Tensor, audio_ND: torch.Tensor, rows: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, M) of this rank's rows: video to audio, audio to video."""
        videos_MD, audios_MD = video_ND, audio_ND
        if self.queue:
            videos_MD = torch.cat((video_ND, self.queue.video))
            audios_MD = torch.cat((audio_ND, self.queue.audio))
        return video_ND[rows] @ audios_MD.T, audio_ND[rows] @ videos_MD.T

    def _direction(
        self, cosine_BM: torch.Tensor, scale: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, Diagnostics]:
        pairs = pairs.guarding(cosine_BM, self.config.guard_similarity)
        result = objective(cosine_BM, scale, pairs, self.config, self.bias)
        weight = self.within.log_weight.exp() if self.within else None
        if weight is None:
            weight = torch.full_like(result.loss[0].detach(), self.config.within_weight)
        return result.loss.mean(), diagnose(cosine_BM.detach(), result.mass, pairs, weight)

    def _within_modal(
        self,
        gathered: list[torch.Tensor],
        rows: slice,
        scale: torch.Tensor,
        origins: ClipOrigins,
    ) -> torch.Tensor:
        """The mean loss of telling which second view belongs to a first one, in each modality."""
        log_weight = self.within.log_weight if self.within else None
        pairs = Pairs.of(origins, self.config, log_weight)
        first_video, first_audio, second_video, second_audio = gathered
        cosines_BN = [
            cosine_BN
            for one_ND, other_ND in ((first_video, second_video), (first_audio, second_audio))
            for cosine_BN in (one_ND[rows] @ other_ND.T, other_ND[rows] @ one_ND.T)
        ]
        losses = [self._direction(cosine_BN, scale, pairs)[0] for cosine_BN in cosines_BN]
        return torch.stack(losses).mean()

    def _update_state(
        self, gathered: list[torch.Tensor], origins: ClipOrigins, diagnostics: Diagnostics
    ) -> None:
        if self.within:
            self.within.update(diagnostics.within_softmax_mass)
        if self.queue:
            self.queue.push(gathered[0], gathered[1], origins.gathered())


def contrastive_loss(
    embeddings: Embeddings, origins: ClipOrigins, config: LossConfig
) -> LossOutput:
    """The loss of one step with settings that need no memory of earlier steps."""
    criterion = Criterion(config, embeddings.video.shape[1])
    return criterion.to(embeddings.video.device)(embeddings, origins)  # type: ignore[no-any-return]
