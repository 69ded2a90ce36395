"""What is stored of a clip's audio: log-mel, FLAC, levels."""

from __future__ import annotations

import io
from functools import lru_cache

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray

from shards_spec.recipe import Recipe

#: Level of digital silence, dB relative to full scale.
SILENCE_DBFS = -120.0
#: Floor of the mel power before the logarithm.
LOG_FLOOR = 1e-10


def log_mel(samples: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float16]:
    """Mono samples in [-1, 1] -> (n_mels, num_mel_frames) float16, natural log of mel power.

    Column j covers the window centered in samples [j * hop, j * hop + n_fft). The clip is padded
    with zeros at its end; no sample outside the clip is used.
    """
    padding = recipe.n_fft - recipe.hop_samples
    spectrum = librosa.stft(
        np.pad(samples, (0, padding)),
        n_fft=recipe.n_fft,
        hop_length=recipe.hop_samples,
        win_length=recipe.window_samples,
        window="hann",
        center=False,
    )
    power = np.square(np.abs(spectrum))[:, : recipe.num_mel_frames]
    mel = _mel_filters(recipe) @ power
    logarithm: NDArray[np.float16] = np.log(np.maximum(mel, LOG_FLOOR)).astype(np.float16)
    return logarithm


def rms_dbfs(samples: NDArray[np.float32]) -> float:
    """Root mean square of mono samples in [-1, 1], dB relative to full scale."""
    return level_dbfs(float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))))


def peak_dbfs(samples: NDArray[np.float32]) -> float:
    """Largest magnitude of mono samples in [-1, 1], dB relative to full scale."""
    return level_dbfs(float(np.max(np.abs(samples), initial=0.0)))


def level_dbfs(value: float) -> float:
    """A linear level in [0, 1] as dB relative to full scale, at least `SILENCE_DBFS`."""
    return max(SILENCE_DBFS, 20.0 * float(np.log10(max(value, 1e-12))))


def encode_flac(samples: NDArray[np.float32], sample_rate_hz: int) -> bytes:
    """Mono samples in [-1, 1] -> 16-bit FLAC."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


@lru_cache(maxsize=4)
def _mel_filters(recipe: Recipe) -> NDArray[np.float32]:
    filters: NDArray[np.float32] = librosa.filters.mel(
        sr=recipe.sample_rate_hz,
        n_fft=recipe.n_fft,
        n_mels=recipe.n_mels,
        fmin=recipe.mel_low_hz,
        fmax=recipe.mel_high_hz,
    )
    return filters
