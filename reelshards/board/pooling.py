"""One vector for an item of any length: the mean over its windows.

Shape suffixes: N items, B windows, T frames, H x W pixels, S pixels of a square, C channels, M mel
bands, L mel frames, F features, D embedding size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pipeline.audio import features as audio_features
from reelshards.board.videos import GridVideo
from reelshards.board.windows import window_indices, window_starts
from shards_spec.errors import InputError
from trainer.models import inputs
from trainer.runs.evaluate import ClipEncoder
from trainer.runs.learning import device_inputs

#: Windows that go through a tower together.
_BATCH_WINDOWS = 32

#: The number of a window's item, and the window.
_Window = tuple[int, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors of N items."""

    features: NDArray[np.float32]
    """(N, F), from the tower."""
    embeddings: NDArray[np.float32]
    """(N, D) unit vectors, comparable between video and audio."""


@dataclass(frozen=True)
class PooledEncoder:
    """The two encoders of a run, for items of any length."""

    clips: ClipEncoder
    max_windows: int = 30
    """Maximum number of windows per item."""

    def audio(self, items: Iterable[NDArray[np.float32]]) -> Vectors:
        """The vectors of items that are mono samples at the recipe's rate, at least one each."""
        return self._pooled(self._audio_windows(items), self.audio_windows, "audio")

    def video(self, items: Iterable[GridVideo]) -> Vectors:
        """The vectors of items that are frames on the recipe's grid."""
        return self._pooled(self._video_windows(items), self._video_outputs, "video")

    @property
    def num_features(self) -> dict[str, int]:
        """F of each modality."""
        model = self.clips.model
        return {"video": model.video.num_features, "audio": model.audio.num_features}

    def audio_windows(self, samples_BN: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, `recipe.clip_samples`) -> features (B, F), embeddings (B, D)."""
        model, device, recipe = self.clips.model, self.clips.device, self.clips.recipe
        logmel_BML = np.stack([audio_features.log_mel(samples, recipe) for samples in samples_BN])
        audio_BCML = inputs.audio_from_logmel(torch.from_numpy(logmel_BML).to(device))
        with torch.inference_mode(), device_inputs.autocast(device, self.clips.precision):
            features_BF = model.audio_features(audio_BCML)
            return features_BF.float(), _unit(model.audio_head(features_BF))

    def _video_outputs(self, frames_BTSSC: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
        model, device = self.clips.model, self.clips.device
        frames = torch.from_numpy(frames_BTSSC).to(device)
        video_BCTHW = inputs.video_from_frames(frames, model.config.inputs)
        with torch.inference_mode(), device_inputs.autocast(device, self.clips.precision):
            features_BF = model.video_features(video_BCTHW)
            return features_BF.float(), _unit(model.video_head(features_BF))

    def _audio_windows(self, items: Iterable[NDArray[np.float32]]) -> Iterator[_Window]:
        size = self.clips.recipe.clip_samples
        for number, samples in enumerate(items):
            for start in window_starts(len(samples), size, self.max_windows):
                yield number, samples[window_indices(start, size, len(samples))]

    def _video_windows(self, items: Iterable[GridVideo]) -> Iterator[_Window]:
        """Square windows, (T, S, S, 3) uint8."""
        size = self.clips.recipe.num_frames
        for number, video in enumerate(items):
            for start in window_starts(video.num_steps, size, self.max_windows):
                steps, where = np.unique(
                    window_indices(start, size, video.num_steps), return_inverse=True
                )
                frames_THWC = torch.from_numpy(video.read(steps)).to(self.clips.device)
                squares = self.clips.square(frames_THWC[None])[0].cpu().numpy()
                yield number, squares[where]

    def _pooled(
        self,
        windows: Iterator[_Window],
        outputs: Callable[[NDArray[Any]], tuple[torch.Tensor, torch.Tensor]],
        modality: str,
    ) -> Vectors:
        """The mean over each item's windows."""
        features: list[NDArray[np.float64]] = []
        embeddings: list[NDArray[np.float64]] = []
        counts: list[int] = []
        while chunk := list(itertools.islice(windows, _BATCH_WINDOWS)):
            features_BF, embeddings_BD = outputs(np.stack([window for _, window in chunk]))
            if not bool(features_BF.isfinite().all()):
                raise InputError(f"features of {modality} are NaN or infinite: the run diverged")
            rows = zip(chunk, features_BF.cpu().numpy(), embeddings_BD.cpu().numpy(), strict=True)
            for (number, _), feature_F, embedding_D in rows:
                if number == len(counts):
                    features.append(np.zeros(feature_F.shape))
                    embeddings.append(np.zeros(embedding_D.shape))
                    counts.append(0)
                features[number] += feature_F
                embeddings[number] += embedding_D
                counts[number] += 1
        if not counts:
            sizes = self.num_features[modality], self.clips.model.config.embedding_size
            return Vectors(*(np.zeros((0, size), np.float32) for size in sizes))
        mean_NF = np.stack(features) / np.array(counts)[:, None]
        return Vectors(mean_NF.astype(np.float32), unit_rows(np.stack(embeddings)))


def unit_rows(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay zero."""
    norm = np.linalg.norm(values, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = (values / np.maximum(norm, 1e-12)).astype(np.float32)
    return scaled


def _unit(projected_BD: torch.Tensor) -> torch.Tensor:
    return functional.normalize(projected_BD.float(), dim=1)
