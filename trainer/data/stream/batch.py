"""What the stream returns: one rank's part of one global batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Batch:
    """One rank's clips of one step, movie by movie: the k clips of a movie are neighbors.

    B is (movies on this rank) * k; T, S are frames per clip and the side of the square crop.
    """

    frames: torch.Tensor
    """(B, T, S, S, 3) uint8 RGB; page-locked if the stream was configured so."""
    logmel: torch.Tensor
    """(B, n_mels, num_mel_frames) float16, natural logarithm of mel power."""
    clip: torch.Tensor
    """(B,) int64, row of each clip in the table of clips."""
    group: torch.Tensor
    """(B,) int64, number of each clip's group: its movie, unless the policy groups by `group`.
    Clips with equal numbers are within-movie negatives of each other."""
    movie: torch.Tensor
    """(B,) int64, number of each clip's movie in order of first appearance in the table of clips;
    the same on every rank."""
    shot: torch.Tensor
    """(B,) int64, number of each clip's shot within its movie."""
    start_ns: torch.Tensor
    """(B,) int64, start of each clip on its movie's timeline, nanoseconds."""
    epoch: int
    step: int
    """Step within the epoch, from 0."""

    def __post_init__(self) -> None:
        size = len(self.clip)
        for name in ("frames", "logmel", "group", "movie", "shot", "start_ns"):
            if len(getattr(self, name)) != size:
                raise ValueError(f"{name} has {len(getattr(self, name))} clips, not {size}")

    def __repr__(self) -> str:
        return (
            f"Batch(epoch={self.epoch}, step={self.step}, frames={tuple(self.frames.shape)}, "
            f"logmel={tuple(self.logmel.shape)})"
        )
