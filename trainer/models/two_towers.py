"""The model: a video tower and an audio tower, each with a projection head, and the logit scale.

Shape suffixes: B clips, C channels, T frames, H x W pixels, M mel bands, L mel frames, F features,
D embedding size.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from trainer.models.audio import AudioResNet18, SmallAudioNet
from trainer.models.inputs import normalize_audio, normalize_video
from trainer.models.norm.replay import replaying
from trainer.models.r3d import R3d18
from trainer.models.small_video import SmallVideoNet
from trainer.models.transformer.towers import AudioTransformer, VideoTransformer
from trainer.models.video import LANES, R2Plus1d, Recompute
from trainer.settings.model import ModelConfig

#: Initial value of 1 / temperature, which is learned.
INITIAL_SCALE = 1 / 0.07
MAX_SCALE = 100.0


@dataclass(frozen=True)
class Embeddings:
    """Both views of a batch of clips; row i of each is the same clip."""

    video: torch.Tensor
    """(B, D) float32, unit length."""
    audio: torch.Tensor
    """(B, D) float32, unit length."""
    scale: torch.Tensor
    """() float32, factor of the similarities; at most `MAX_SCALE`."""


@dataclass(frozen=True)
class Features:
    """The towers' outputs before the heads; linear probes use these."""

    video: torch.Tensor
    """(B, F of the video tower) float32."""
    audio: torch.Tensor
    """(B, F of the audio tower) float32."""


class Head(nn.Sequential):
    """Features -> embedding, through one hidden layer."""

    def __init__(self, num_features: int, num_hidden: int, embedding_size: int) -> None:
        super().__init__(
            nn.Linear(num_features, num_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(num_hidden, embedding_size),
        )


class TwoTowers(nn.Module):
    """Video and audio in, comparable unit vectors out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.video = _video_tower(config)
        self.audio = _audio_tower(config)
        sizes = (config.head_hidden, config.embedding_size)
        self.video_head = Head(self.video.num_features, *sizes)
        self.audio_head = Head(self.audio.num_features, *sizes)
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        self._locked: tuple[nn.Module, ...] = ()

    def forward(
        self,
        video_BCTHW: torch.Tensor,
        audio_BCML: torch.Tensor,
        *,
        is_normalized: bool = False,
        key_B: torch.Tensor | None = None,
    ) -> Embeddings:
        """Pixels in [0, 1] and log-mel in nats, as from `models/inputs.py` -> embeddings.

        Args:
            is_normalized: the video has been through `normalize_video` already.
            key_B: (B,) int64, a hash per clip, from which drop path draws; None disables it.
        """
        return self.embed(
            self.features(video_BCTHW, audio_BCML, is_normalized=is_normalized, key_B=key_B)
        )

    def features(
        self,
        video_BCTHW: torch.Tensor,
        audio_BCML: torch.Tensor,
        *,
        is_normalized: bool = False,
        key_B: torch.Tensor | None = None,
    ) -> Features:
        """The towers alone."""
        return Features(
            self.video_features(video_BCTHW, is_normalized=is_normalized, key_B=key_B),
            self.audio_features(audio_BCML, key_B=key_B),
        )

    def video_features(
        self,
        video_BCTHW: torch.Tensor,
        *,
        is_normalized: bool = False,
        key_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The video tower alone, as in `features`: (B, F)."""
        video_BCTHW = video_BCTHW if is_normalized else normalize_video(video_BCTHW)
        return _features(self.video, video_BCTHW, key_B)

    def audio_features(
        self, audio_BCML: torch.Tensor, *, key_B: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The audio tower alone, as in `features`: (B, F)."""
        return _features(self.audio, normalize_audio(audio_BCML, self.config.inputs), key_B)

    def embed(self, features: Features) -> Embeddings:
        """The heads alone."""
        return Embeddings(
            functional.normalize(self.video_head(features.video).float(), dim=1),
            functional.normalize(self.audio_head(features.audio).float(), dim=1),
            self.log_scale.float().exp(),
        )

    def freeze(self, modality: Literal["video", "audio"]) -> None:
        """Keep a tower as it is: no gradients, and no change of its running statistics."""
        tower = self.video if modality == "video" else self.audio
        tower.requires_grad_(requires_grad=False)
        self.lock_batch_norm(modality)

    def lock_batch_norm(self, modality: Literal["video", "audio"]) -> None:
        """Have a tower normalize with its running statistics in training, and keep them."""
        self._locked += (self.video if modality == "video" else self.audio,)
        self.train(self.training)

    def train(self, mode: bool = True) -> TwoTowers:
        """As `nn.Module.train`, except for locked batch normalization."""
        super().train(mode)
        for part in self._locked:
            for norm in part.modules():
                if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                    norm.eval()
        return self

    @property
    def recompute(self) -> Recompute:
        """What the backward pass recomputes, for towers that support it."""
        return self.video.recompute if isinstance(self.video, R2Plus1d) else "nothing"

    def set_recompute(self, recompute: Recompute) -> None:
        """Choose what the backward pass recomputes, for towers that support it."""
        for tower in (self.video, self.audio):
            if isinstance(tower, R2Plus1d | AudioResNet18):
                tower.recompute = recompute

    @contextlib.contextmanager
    def replaying(self) -> Iterator[None]:
        """Forward passes that repeat earlier ones: running statistics stay as they are."""
        norms = [
            part for part in self.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)
        ]
        before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        try:
            with replaying():
                yield
        finally:
            for norm, (momentum, count) in zip(norms, before, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Limit the scale to `MAX_SCALE`; call after each optimizer step.

        Clamping inside `forward` would also zero the gradient that could lower it again.
        """
        self.log_scale.clamp_(max=math.log(MAX_SCALE))


VideoTower = SmallVideoNet | R3d18 | R2Plus1d | VideoTransformer
AudioTower = SmallAudioNet | AudioResNet18 | AudioTransformer


def _video_tower(config: ModelConfig) -> VideoTower:
    if config.video == "small":
        return SmallVideoNet(config.small_norm)
    if config.video == "r3d18":
        return R3d18()
    if config.video == "transformer":
        return VideoTransformer(config.transformer)
    num_layers = 34 if config.video == "r2plus1d34" else 18
    return R2Plus1d(LANES if config.video == "r2plus1d18-x16" else 1, num_layers)


def _audio_tower(config: ModelConfig) -> AudioTower:
    if config.audio == "transformer":
        return AudioTransformer(config.transformer)
    return AudioResNet18() if config.audio == "resnet18" else SmallAudioNet(config.small_norm)


def _features(
    tower: VideoTower | AudioTower, x: torch.Tensor, key_B: torch.Tensor | None
) -> torch.Tensor:
    features: torch.Tensor = (
        tower(x, key_B) if isinstance(tower, VideoTransformer | AudioTransformer) else tower(x)
    )
    return features


def build_model(config: ModelConfig, seed: int) -> TwoTowers:
    """A model whose initial weights depend on `config` and `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TwoTowers(config)
