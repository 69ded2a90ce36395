"""Embeddings and features of clips, computed by a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.data.stream import read_all
from trainer.models import Embeddings, Features
from trainer.runs.learning.device_inputs import autocast, device_inputs

#: Clips named in a message.
_MAX_NAMES = 5


@dataclass(frozen=True)
class EmbeddedClips:
    """What a model computes for some clips, on the host; row i of each tensor is the same clip.

    Shape suffixes of the comments: N clips, D embedding size, F features of a tower.
    """

    video: torch.Tensor
    """(N, D) float32, unit length."""
    audio: torch.Tensor
    """(N, D) float32, unit length."""
    video_features: torch.Tensor
    """(N, F of the video tower) float32."""
    audio_features: torch.Tensor
    """(N, F of the audio tower) float32."""
    clip: torch.Tensor
    """(N,) int64, row in the clip index."""
    movie: torch.Tensor
    """(N,) int64, number of the movie."""

    def features(self, modality: str) -> torch.Tensor:
        """The features of a tower, `video` or `audio`."""
        return self.video_features if modality == "video" else self.audio_features

    def of_rows(self, rows: range) -> EmbeddedClips:
        """Those whose row in the clip index is in a range."""
        keep = (self.clip >= rows.start) & (self.clip < rows.stop)
        return EmbeddedClips(*(getattr(self, item.name)[keep] for item in dataclasses.fields(self)))

    def require_finite(self, dataset: Dataset) -> None:
        """Raise `InputError`, naming clips, if any value is NaN or infinite.

        Comparisons with NaN are false, so retrieval would report a perfect score.
        """
        for name in ("video", "audio", "video_features", "audio_features"):
            is_bad_N = ~getattr(self, name).isfinite().all(dim=1)
            if not is_bad_N.any():
                continue
            rows = self.clip[is_bad_N]
            names = dataset.clips["clip_id"].take(rows[:_MAX_NAMES].numpy()).to_pylist()
            more = f" and {len(rows) - len(names)} more" if len(rows) > len(names) else ""
            raise InputError(
                f"{name.replace('_', ' ')} of {len(rows)} of {len(self.clip)} clips are NaN or "
                f"infinite: {', '.join(names)}{more}; the model has diverged or these clips have "
                f"invalid values; check them with: python -m shards_spec validate "
                f"{dataset.storage.uri}"
            )


class Towers(Protocol):
    """What computes features and embeddings of clips; `TwoTowers` is one."""

    training: bool

    def eval(self) -> object:
        """Switch to evaluation mode."""

    def train(self, mode: bool = True) -> object:
        """Switch to training mode, or back."""

    def features(self, video_BCTHW: torch.Tensor, audio_BCML: torch.Tensor) -> Features:
        """Pixels in [0, 1] and log-mel in nats -> features."""

    def embed(self, features: Features) -> Embeddings:
        """Features -> embeddings."""


@torch.no_grad()
def embed_clips(
    model: Towers,
    dataset: Dataset,
    rows: Sequence[int] | NDArray[np.int64],
    config: TrainConfig,
    device: torch.device,
) -> EmbeddedClips:
    """Embed clips without augmentation, each independently of the others in its batch.

    Raises `InputError` if a value is NaN or infinite, and `FormatError` if too many clips are
    unreadable; single unreadable clips are left out.
    """
    was_training = model.training
    model.eval()
    parts: list[tuple[torch.Tensor, ...]] = []
    stream = dataclasses.replace(
        config.stream, pin_memory=config.stream.pin_memory and device.type == "cuda"
    )
    for batch in read_all(dataset, [int(row) for row in rows], stream):
        video_BCTHW, audio_BCML = device_inputs(batch, config, device, augment=False)
        with autocast(device, config.precision):
            features = model.features(video_BCTHW, audio_BCML)
            embeddings = model.embed(features)
        outputs = (embeddings.video, embeddings.audio, features.video, features.audio)
        parts.append((*(output.float().cpu() for output in outputs), batch.clip, batch.movie))
    model.train(was_training)
    embedded = EmbeddedClips(*(torch.cat(column) for column in zip(*parts, strict=True)))
    embedded.require_finite(dataset)
    return embedded
