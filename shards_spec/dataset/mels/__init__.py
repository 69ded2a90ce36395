"""Mel filters of a recipe, and the spectra of log-mel spectrograms."""

from __future__ import annotations

from shards_spec.dataset.mels.magnitudes import hann_window, magnitudes_of, mel_filters

__all__ = [
    "hann_window",
    "magnitudes_of",
    "mel_filters",
]
