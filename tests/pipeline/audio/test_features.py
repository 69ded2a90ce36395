"""Log-mels are librosa's, to the last bit."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from pipeline.audio.features import LOG_FLOOR, log_mel
from shards_spec.recipe import Recipe

RECIPES = {
    "default": Recipe(),
    "48 kHz": Recipe(sample_rate_hz=48_000),
    "22.05 kHz, 128 bands": Recipe(sample_rate_hz=22_050, n_mels=128),
    "from 0 Hz": Recipe(n_mels=40, mel_low_hz=0.0),
    "50 to 7000 Hz, 8 frames": Recipe(num_frames=8, mel_low_hz=50.0, mel_high_hz=7_000.0),
    "other windows": Recipe(window_ms=32.0, hop_ms=8.0),
}


@pytest.mark.parametrize("name", RECIPES)
def test_log_mels_are_those_of_librosa(name: str) -> None:
    recipe = RECIPES[name]
    rng = np.random.default_rng(0)
    for level in (0.0, 1e-5, 0.1, 1.0):
        samples = np.clip(level * rng.standard_normal(recipe.clip_samples), -1, 1)
        samples = samples.astype(np.float32)
        spectrum = librosa.stft(
            np.pad(samples, (0, recipe.n_fft - recipe.hop_samples)),
            n_fft=recipe.n_fft,
            hop_length=recipe.hop_samples,
            win_length=recipe.window_samples,
            window="hann",
            center=False,
        )
        filters = librosa.filters.mel(
            sr=recipe.sample_rate_hz,
            n_fft=recipe.n_fft,
            n_mels=recipe.n_mels,
            fmin=recipe.mel_low_hz,
            fmax=recipe.mel_high_hz,
        )
        mel = filters @ np.square(np.abs(spectrum))[:, : recipe.num_mel_frames]
        expected = np.log(np.maximum(mel, LOG_FLOOR)).astype(np.float16)
        assert np.array_equal(log_mel(samples, recipe), expected)
