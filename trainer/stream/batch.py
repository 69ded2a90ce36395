"""What the stream hands to the model: one rank's part of one global batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Batch:
    """One rank's clips of one step, movie by movie: the k clips of a movie are neighbours.

    B is (movies on this rank) * k; T, S are frames per clip and the side of the square crop.
    """

    frames: torch.Tensor
    """(B, T, S, S, 3) uint8 RGB; pinned when the stream was asked to pin."""
    logmel: torch.Tensor
    """(B, n_mels, num_mel_frames) float16, natural log of mel power."""
    clip: torch.Tensor
    """(B,) int64, row of each clip in the index."""
    movie: torch.Tensor
    """(B,) int64, number of each clip's group (by default its movie); equal means within-movie."""
    source: torch.Tensor
    """(B,) int64, one number for each movie, also where `movie` numbers groups of them."""
    shot: torch.Tensor
    """(B,) int64, number of each clip's shot in its source."""
    start_ns: torch.Tensor
    """(B,) int64, start of each clip on its source's timeline."""
    epoch: int
    step: int
    """Step within the epoch, from 0."""

    def __post_init__(self) -> None:
        size = len(self.clip)
        for name in ("frames", "logmel", "movie", "source", "shot", "start_ns"):
            if len(getattr(self, name)) != size:
                raise ValueError(f"{name} has {len(getattr(self, name))} clips, not {size}")

    def __repr__(self) -> str:
        return (
            f"Batch(epoch={self.epoch}, step={self.step}, frames={tuple(self.frames.shape)}, "
            f"logmel={tuple(self.logmel.shape)})"
        )
