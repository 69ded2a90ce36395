"""Settings of the model and its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from trainer.settings.checks import at_least, positive, require

Normalization = Literal["batch", "group"]


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """How stored clips become network inputs; see `trainer/models/inputs.py`."""

    frame_size: int = 64
    """Side, in pixels, that the stream's crops are resized to on the device; 0 keeps their size."""
    num_frames: int = 8
    """Frames used of each clip, evenly spaced; 0 for all."""
    audio_norm: Literal["clip", "band", "fixed"] = "clip"
    """Subtract the mean of the clip, of each mel band of the clip, or
    `--model.inputs.audio-mean`."""
    audio_mean: float = -6.0
    """For `fixed`: mean log-mel, nats."""
    audio_std: float = 4.0
    """For `fixed`: standard deviation of log-mel, nats."""

    def __post_init__(self) -> None:
        at_least("model.inputs.frame-size", self.frame_size, 0)
        at_least("model.inputs.num-frames", self.num_frames, 0)
        require(
            math.isfinite(self.audio_mean),
            f"model.inputs.audio-mean = {self.audio_mean:g}: must be finite",
        )
        positive("model.inputs.audio-std", self.audio_std)


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Size of transformer towers; those of both modalities have the same."""

    width: int = 384
    """Features of a token, a multiple of twice the heads."""
    depth: int = 8
    """Layers."""
    heads: int = 6
    """Heads of each attention."""
    patch: int = 16
    """Side of a video token, pixels; a token covers 2 frames."""
    drop_path: float = 0.1
    """Share of the clips that the last layer leaves out in training, [0, 1); earlier layers leave
    out proportionally fewer."""

    def __post_init__(self) -> None:
        for name in ("width", "depth", "heads", "patch"):
            at_least(f"model.transformer.{name}", getattr(self, name), 1)
        require(
            self.width % (2 * self.heads) == 0,
            f"model.transformer.width = {self.width}: must be a multiple of "
            f"{2 * self.heads}, twice model.transformer.heads",
        )
        require(
            0 <= self.drop_path < 1,
            f"model.transformer.drop-path = {self.drop_path:g}: must be in [0, 1)",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Two towers and their projection heads."""

    video: Literal[
        "small", "r3d18", "r2plus1d18", "r2plus1d18-x16", "r2plus1d34", "transformer"
    ] = "small"
    """Video tower; x16 has the channels of R(2+1)D-18 rounded up to multiples of 16; transformer
    attends over time and space in turn."""
    audio: Literal["small", "resnet18", "transformer"] = "small"
    """Audio tower."""
    small_norm: Normalization = "batch"
    """Normalization of the small towers. batch: by the statistics of all clips of a batch, which
    depend on its movies; group: by those of each clip alone."""
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    embedding_size: int = 128
    """Dimensions of an embedding."""
    head_hidden: int = 256
    """Width of the hidden layer of each head."""
    inputs: InputConfig = field(default_factory=InputConfig)

    def __post_init__(self) -> None:
        at_least("model.embedding-size", self.embedding_size, 2)
        at_least("model.head-hidden", self.head_hidden, 1)
        require(
            self.small_norm == "batch" or "small" in (self.video, self.audio),
            f"model.small-norm = {self.small_norm}: acts on small towers, but model.video = "
            f"{self.video} and model.audio = {self.audio}",
        )

    @property
    def draws(self) -> bool:
        """Whether the networks draw random numbers in training."""
        uses_transformer = "transformer" in (self.video, self.audio)
        return uses_transformer and self.transformer.drop_path > 0
