"""Audio of a clip that people can play: the stored FLAC, or a WAV made from the log-mel.

A log-mel spectrogram has no phase and few frequencies, so audio made from it is only a rendering:
the Griffin-Lim algorithm finds a waveform whose spectrogram comes close.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.mels import hann_window, magnitudes_of
from shards_spec.recipe import Recipe

ITERATIONS = 32
#: Momentum of the fast variant (Perraudin, Balazs, Søndergaard, 2013).
_MOMENTUM = 0.99


def render_logmel(logmel: NDArray[np.float16], recipe: Recipe) -> NDArray[np.float32]:
    """(n_mels, num_mel_frames) log-mel -> (num_samples,) float32 in [-1, 1].

    Raises `FormatError` if the recipe's spectrograms are too large to be rendered.
    """
    hop, num_frames = recipe.hop_samples, logmel.shape[1]
    magnitude = magnitudes_of(logmel, recipe)
    window = hann_window(recipe)
    # Deterministic: the same clip always sounds the same.
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitude.shape).astype(np.float32)
    spectrum = magnitude * np.exp(1j * phase)
    before = np.zeros_like(spectrum)
    for _ in range(ITERATIONS):
        again = _analyze(_synthesize(spectrum, window, hop), window, hop, num_frames)
        ahead = again + _MOMENTUM * (again - before)
        before = again
        spectrum = magnitude * ahead / np.maximum(np.abs(ahead), 1e-12)
    samples = _synthesize(spectrum, window, hop)[: num_frames * hop]
    peak = float(np.max(np.abs(samples), initial=0.0))
    return np.asarray(samples / max(peak, 1.0), dtype=np.float32)


def encode_wav(samples: NDArray[np.float32], sample_rate_hz: int) -> bytes:
    """(num_samples,) in [-1, 1] -> a mono WAV file of 16 bits."""
    data = np.round(np.clip(samples, -1.0, 1.0) * 32_767).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _analyze(
    samples: NDArray[np.float32], window: NDArray[np.float32], hop: int, num_frames: int
) -> NDArray[np.complex64]:
    frames = np.lib.stride_tricks.sliding_window_view(samples, len(window))[::hop][:num_frames]
    return np.asarray(np.fft.rfft(frames * window), dtype=np.complex64)


def _synthesize(
    spectrum: NDArray[np.complex64], window: NDArray[np.float32], hop: int
) -> NDArray[np.float32]:
    """Overlap-add, divided by the sum of the squared windows."""
    frames = np.fft.irfft(spectrum, len(window)).astype(np.float32) * window
    length = (len(frames) - 1) * hop + len(window)
    samples, weight = np.zeros(length, np.float32), np.zeros(length, np.float32)
    square = window**2
    for number, frame in enumerate(frames):
        samples[number * hop : number * hop + len(window)] += frame
        weight[number * hop : number * hop + len(window)] += square
    # Where windows hardly reach, division would amplify noise.
    return np.asarray(samples / np.maximum(weight, 0.05), dtype=np.float32)
