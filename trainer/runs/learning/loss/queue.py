"""A memory of the last clips' embeddings, which serve as further negatives (arXiv:1911.05722).

Each slot keeps where its clip comes from, so that clips of the row's own movie are within-movie
negatives, with their weight and guards, and earlier embeddings of the clip itself are left out. Its
contents are equal on all ranks: what was gathered for the loss. Shape suffixes: Q slots, D
embedding size, N clips of all ranks.
"""

from __future__ import annotations

import torch
from torch import nn


class MemoryQueue(nn.Module):
    """A ring of `num_clips` slots; all of it is in the checkpoint."""

    video: torch.Tensor
    audio: torch.Tensor
    origins: torch.Tensor
    next_slot: torch.Tensor

    def __init__(self, num_clips: int, embedding_size: int) -> None:
        super().__init__()
        self.register_buffer("video", torch.zeros(num_clips, embedding_size))
        self.register_buffer("audio", torch.zeros(num_clips, embedding_size))
        self.register_buffer("origins", torch.full((4, num_clips), -1))
        self.register_buffer("next_slot", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(
        self, video_ND: torch.Tensor, audio_ND: torch.Tensor, origins_4N: torch.Tensor
    ) -> None:
        """Put the batch of all ranks in the place of the oldest clips; N is at most Q."""
        num_slots, num_new = len(self.video), len(video_ND)
        slots = (self.next_slot + torch.arange(num_new, device=self.video.device)) % num_slots
        self.video[slots] = video_ND.detach().float()
        self.audio[slots] = audio_ND.detach().float()
        self.origins[:, slots] = origins_4N
        self.next_slot.copy_((self.next_slot + num_new) % num_slots)
