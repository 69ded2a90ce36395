"""Spectra that log-mel spectrograms came from, as far as these determine them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe

#: Largest filter bank and spectrogram that are used, numbers. A recipe may come from anyone.
_MAX_FILTERS, _MAX_SPECTROGRAM = 1 << 22, 1 << 24


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


def magnitudes_of(logmel: NDArray[np.float16], recipe: Recipe) -> NDArray[np.float32]:
    """(num_frames, num_bins) magnitudes whose mel powers are close to those of the log-mel.

    Each frequency gets the mean density of the bands that cover it, which is then scaled per band
    by how far it is off; a few rounds of this come close and never become negative.

    Raises `FormatError` if the recipe's spectrograms are impossibly large.
    """
    num_bins = recipe.n_fft // 2 + 1
    is_large = logmel.shape[1] * recipe.n_fft > _MAX_SPECTROGRAM
    if is_large or recipe.n_mels * num_bins > _MAX_FILTERS:
        raise FormatError("spectrograms of this recipe are too large")
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


def hann_window(recipe: Recipe) -> NDArray[np.float32]:
    """(n_fft,) periodic Hann window of the recipe, centered."""
    length = recipe.window_samples
    window = np.zeros(recipe.n_fft, dtype=np.float32)
    first = (recipe.n_fft - length) // 2
    window[first : first + length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    return window
