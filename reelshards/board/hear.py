"""The API of HEAR, the Holistic Evaluation of Audio Representations, for a run's audio encoder.

    python -m heareval.embeddings.runner reelshards.board.hear --model runs/first --tasks-dir tasks

A timestamp's embedding is that of the window around it: as long as a training clip, with silence
before the start and after the end of the audio.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reelshards.board.pooling import PooledEncoder
from reelshards.board.waveforms import waveform
from reelshards.board.windows import centered_window
from shards_spec.errors import InputError
from trainer.runs.evaluate import ClipEncoder, load_encoder

#: Sampling rates in which HEAR provides its audio, Hz.
SAMPLE_RATES = (16_000, 22_050, 44_100, 48_000)

#: Time between timestamps; HEAR suggests at most 50 ms.
HOP_MS = 50.0

#: Maximum number of windows whose samples are in memory at once.
_CHUNK_WINDOWS = 256


class HearModel(nn.Module):
    """What `load_model` returns: the audio tower, and the attributes that HEAR asks for."""

    def __init__(self, clips: ClipEncoder, hop_ms: float, max_windows: int) -> None:
        super().__init__()
        if hop_ms <= 0 or max_windows < 1:
            raise InputError(f"{hop_ms = }, {max_windows = }: both must be positive")
        self._clips = clips
        self.towers = clips.model
        self.hop_ms = float(hop_ms)
        self.max_windows = max_windows
        self.scene_embedding_size = int(clips.model.audio.num_features)
        self.timestamp_embedding_size = self.scene_embedding_size
        rate_hz = clips.recipe.sample_rate_hz
        self.sample_rate = next(
            (rate for rate in SAMPLE_RATES if rate >= rate_hz), SAMPLE_RATES[-1]
        )

    def pooled(self) -> PooledEncoder:
        """The encoder on the device to which the model has been moved."""
        self.eval()
        device = next(self.towers.parameters()).device
        return PooledEncoder(dataclasses.replace(self._clips, device=device), self.max_windows)

    def samples(self, audio: torch.Tensor) -> list[NDArray[np.float32]]:
        """(sounds, samples) at `sample_rate` -> each at the recipe's rate."""
        if audio.ndim != 2:
            raise InputError(f"audio of shape {tuple(audio.shape)}; expected (sounds, samples)")
        rates = self.sample_rate, self._clips.recipe.sample_rate_hz
        return [waveform(sound, *rates) for sound in audio.detach().cpu().numpy()]


def load_model(
    model_file_path: str, hop_ms: float = HOP_MS, max_windows: int = 10_000
) -> HearModel:
    """The audio encoder of a run.

    Args:
        model_file_path: run folder, also in a bucket, or exported folder.
        hop_ms: time between timestamps.
        max_windows: per scene; by default, windows cover all of it.

    Raises `InputError` if the folder contains neither.
    """
    return HearModel(load_encoder(model_file_path), hop_ms, max_windows)


def get_scene_embeddings(audio: torch.Tensor, model: HearModel) -> torch.Tensor:
    """(sounds, samples) in [-1, 1] at `model.sample_rate` -> (sounds, F) float32.

    The mean of the tower's features over windows that cover the sound.
    """
    features = model.pooled().audio(model.samples(audio)).features
    return torch.from_numpy(features).to(audio.device)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: HearModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sounds, samples) in [-1, 1] at `model.sample_rate` -> embeddings and their times.

    Returns:
        (sounds, timestamps, F) float32, and (sounds, timestamps) float32: milliseconds of the
        windows' centers, from 0 to the end of the sound.
    """
    times = _timestamps(audio, model)
    pooled, rate_hz = model.pooled(), model.pooled().clips.recipe.sample_rate_hz
    size = pooled.clips.recipe.clip_samples
    centers = [round(time * rate_hz / 1000) for time in times]
    found = []
    for samples in model.samples(audio):
        parts = []
        for first in range(0, len(centers), _CHUNK_WINDOWS):
            chunk = centers[first : first + _CHUNK_WINDOWS]
            windows = np.stack([centered_window(samples, center, size) for center in chunk])
            parts.append(pooled.audio(windows).features)
        found.append(np.concatenate(parts))
    return (
        torch.from_numpy(np.stack(found)).to(audio.device),
        torch.tensor(times, dtype=torch.float32, device=audio.device).repeat(len(found), 1),
    )


def _timestamps(audio: torch.Tensor, model: HearModel) -> list[float]:
    """The times of the timestamps in milliseconds, from 0."""
    duration_ms = audio.shape[-1] * 1000.0 / model.sample_rate
    return [number * model.hop_ms for number in range(int(duration_ms / model.hop_ms + 1e-9) + 1)]
