"""Audio of a clip that people can play: the stored FLAC, or a WAV made from the log-mel.

A log-mel spectrogram has no phase and few frequencies, so audio made from it is only a rendering:
the Griffin-Lim algorithm finds a waveform whose spectrogram comes close.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe

ITERATIONS = 32
#: Momentum of the fast variant (Perraudin, Balazs, Søndergaard, 2013).
_MOMENTUM = 0.99

#: Largest filter bank and spectrogram that are rendered, numbers. A recipe may come from anyone.
_MAX_FILTERS, _MAX_SPECTROGRAM = 1 << 22, 1 << 24


def render_logmel(logmel: NDArray[np.float16], recipe: Recipe) -> NDArray[np.float32]:
    """(n_mels, num_mel_frames) log-mel -> (num_samples,) float32 in [-1, 1].

    Raises `FormatError` if the recipe's spectrograms are too large to be rendered.
    """
    n_fft, hop = recipe.n_fft, recipe.hop_samples
    num_bins, num_frames = n_fft // 2 + 1, logmel.shape[1]
    if recipe.n_mels * num_bins > _MAX_FILTERS or num_frames * n_fft > _MAX_SPECTROGRAM:
        raise FormatError("spectrograms of this recipe are too large to be rendered as audio")
    magnitude = _magnitudes(logmel, recipe)
    window = _window(recipe)
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


@lru_cache(maxsize=4)
def mel_filters(recipe: Recipe) -> NDArray[np.float32]:
    """(n_mels, n_fft // 2 + 1): Slaney's triangles, as in section 5.2 of the specification."""
    frequencies = np.arange(recipe.n_fft // 2 + 1) * recipe.sample_rate_hz / recipe.n_fft
    low, high = (_mel(np.array(edge)) for edge in (recipe.mel_low_hz, recipe.mel_high_hz))
    edges = _hertz(np.linspace(low, high, recipe.n_mels + 2))
    left, center, right = (edges[first : first + recipe.n_mels, None] for first in range(3))
    rise = (frequencies - left) / (center - left)
    fall = (right - frequencies) / (right - center)
    triangles = np.maximum(0.0, np.minimum(rise, fall))
    return np.asarray(triangles * 2.0 / (right - left), dtype=np.float32)


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    return np.where(hertz < 1000, 3 * hertz / 200, above)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = 1000 * np.exp((mel - 15) * np.log(6.4) / 27)
    return np.where(mel < 15, 200 * mel / 3, above)


def _magnitudes(logmel: NDArray[np.float16], recipe: Recipe) -> NDArray[np.float32]:
    """(num_frames, num_bins) magnitudes whose mel powers are close to those of the log-mel.

    Each frequency gets the mean density of the bands that cover it, which is then scaled per band
    by how far it is off; a few rounds of this come close and never become negative.
    """
    filters = mel_filters(recipe)
    # A stranger's log-mel may have any values.
    values = np.nan_to_num(logmel.astype(np.float32), nan=-24.0)
    power = np.exp(np.clip(values, -24.0, 20.0))
    areas = np.maximum(filters.sum(axis=1, keepdims=True), 1e-12)
    cover = np.maximum(filters.sum(axis=0)[:, None], 1e-12)
    bins = filters.T @ (power / areas) / cover
    for _ in range(8):
        ratio = power / np.maximum(filters @ bins, 1e-12)
        bins *= np.clip(filters.T @ ratio / cover, 0.1, 10.0)
    return np.asarray(np.sqrt(bins).T, dtype=np.float32)


def _window(recipe: Recipe) -> NDArray[np.float32]:
    """(n_fft,) periodic Hann window of the recipe, centered."""
    length = recipe.window_samples
    window = np.zeros(recipe.n_fft, dtype=np.float32)
    first = (recipe.n_fft - length) // 2
    window[first : first + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return window


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
