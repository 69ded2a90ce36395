"""What is stored of a clip's audio: log-mel, FLAC, levels."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import soundfile
from numpy.typing import NDArray

from shards_spec.recipe import Recipe

#: Level of digital silence, dB relative to full scale.
SILENCE_DBFS = -120.0
#: Floor of the mel power before the logarithm.
LOG_FLOOR = 1e-10
#: Windows that are transformed at once, as samples.
_BLOCK_BYTES = 1 << 18
#: Slaney's mel scale: where it bends, and its steps below and above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = float(np.log(6.4)) / 27.0


def log_mel(samples: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float16]:
    """Mono samples in [-1, 1] -> (n_mels, num_mel_frames) float16, natural log of mel power.

    Column j covers the window centered in samples [j * hop, j * hop + n_fft). The clip is padded
    with zeros at its end; no sample outside the clip is used.
    """
    padded = np.pad(samples, (0, recipe.n_fft - recipe.hop_samples))
    power = np.square(np.abs(_spectrum(padded, recipe)))[:, : recipe.num_mel_frames]
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


def _spectrum(samples: NDArray[np.float32], recipe: Recipe) -> NDArray[np.complex64]:
    """(N,) samples -> (1 + n_fft // 2, windows) complex64, one window every `hop_samples`.

    Every operation, its precision and the layout in memory are those of librosa's `stft`, whose
    import alone takes seconds: results are equal to the last bit.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, recipe.n_fft)
    windows = windows[:: recipe.hop_samples].T
    num_windows = windows.shape[1]
    spectrum = np.zeros((1 + recipe.n_fft // 2, num_windows), np.complex64, order="F")
    step = max(1, _BLOCK_BYTES // (recipe.n_fft * windows.itemsize))
    weights = _hann(recipe.window_samples, recipe.n_fft)[:, None]
    for first in range(0, num_windows, step):
        block = slice(first, first + step)
        spectrum[:, block] = np.fft.rfft(weights * windows[:, block], axis=-2)
    return spectrum


@lru_cache(maxsize=4)
def _hann(length: int, size: int) -> NDArray[np.float64]:
    """(size,) periodic Hann window of `length` samples, in the middle of zeros."""
    angles = np.linspace(-np.pi, np.pi, length + 1)
    window = (0.5 * np.cos(0 * angles) + 0.5 * np.cos(angles))[:-1]
    before = (size - length) // 2
    return np.pad(window, (before, size - length - before))


@lru_cache(maxsize=4)
def _mel_filters(recipe: Recipe) -> NDArray[np.float32]:
    """(n_mels, 1 + n_fft // 2): triangles between mel-spaced frequencies, each of area 1 / Hz."""
    low, high = _hz_to_mel(np.array([recipe.mel_low_hz, recipe.mel_high_hz], np.float64))
    corners = _mel_to_hz(np.linspace(low, high, recipe.n_mels + 2))
    bins = np.fft.rfftfreq(recipe.n_fft, 1.0 / recipe.sample_rate_hz)
    widths = np.diff(corners)
    distances = np.subtract.outer(corners, bins)
    rising = -distances[:-2] / widths[:-1, None]
    falling = distances[2:] / widths[1:, None]
    filters: NDArray[np.float32] = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return filters


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale: linear up to 1 kHz, logarithmic from there on."""
    logarithmic = _BREAK_MEL + np.log(np.maximum(hz, 1e-9) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz >= _BREAK_HZ, logarithmic, hz / _HZ_PER_MEL)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel >= _BREAK_MEL, logarithmic, _HZ_PER_MEL * mel)
