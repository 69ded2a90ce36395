"""Audio made from log-mels sounds like what they were computed from; files are what they say."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from shards_spec.dataset.browser.sound import encode_wav, render_logmel
from shards_spec.dataset.mels import mel_filters
from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe


def logmel_of(samples: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(n_mels, num_mel_frames) float16, as in section 5.2 of the specification."""
    padded = np.append(samples, np.zeros(recipe.n_fft - recipe.hop_samples))
    frames = np.lib.stride_tricks.sliding_window_view(padded, recipe.n_fft)[:: recipe.hop_samples]
    window = np.zeros(recipe.n_fft)
    first = (recipe.n_fft - recipe.window_samples) // 2
    n = np.arange(recipe.window_samples)
    window[first : first + len(n)] = 0.5 - 0.5 * np.cos(2 * np.pi * n / len(n))
    power = np.abs(np.fft.rfft(frames[: recipe.num_mel_frames] * window)) ** 2
    return np.log(np.maximum(mel_filters(recipe) @ power.T, 1e-10)).astype(np.float16)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{}, {"n_mels": 128, "mel_low_hz": 0.0}, {"sample_rate_hz": 8000, "mel_high_hz": 4e3}],
)
def test_filters_are_those_of_librosa(changes) -> None:
    librosa = pytest.importorskip("librosa")
    recipe = Recipe(**changes)
    expected = librosa.filters.mel(
        sr=recipe.sample_rate_hz, n_fft=recipe.n_fft, n_mels=recipe.n_mels,
        fmin=recipe.mel_low_hz, fmax=recipe.mel_high_hz,
    )  # fmt: skip
    assert np.allclose(mel_filters(recipe), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["tones", "clicks", "noise", "silence"])
def test_rendered_audio_has_the_spectrogram_it_was_made_from(kind: str) -> None:
    recipe = Recipe(num_frames=5)
    time = np.arange(recipe.clip_samples) / recipe.sample_rate_hz
    samples = {
        "tones": 0.3 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 1800 * time),
        "clicks": np.where(np.arange(len(time)) % 4000 < 40, 0.5, 0.0),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(len(time)),
        "silence": np.zeros(len(time)),
    }[kind]
    logmel = logmel_of(samples, recipe)
    rendered = render_logmel(logmel, recipe)
    assert rendered.shape == (recipe.num_mel_frames * recipe.hop_samples,)
    assert np.isfinite(rendered).all()
    again = logmel_of(rendered, recipe).astype(np.float64)
    loud = logmel.astype(np.float64) > logmel.astype(np.float64).max() - 6
    if kind == "silence":
        assert np.abs(rendered).max() < 1e-3
    else:
        # Within 3 dB on average where it is loud; the power is that of the whole.
        assert np.abs(again - logmel)[loud].mean() * 10 / np.log(10) < 3
        assert 0.5 < np.sqrt((rendered**2).mean()) / np.sqrt((samples**2).mean()) < 2


def test_rendering_is_deterministic_and_bounded() -> None:
    recipe = Recipe(num_frames=2)
    logmel = np.zeros((80, recipe.num_mel_frames), np.float16)
    assert (render_logmel(logmel, recipe) == render_logmel(logmel, recipe)).all()
    hostile = np.full_like(logmel, np.nan)
    hostile[::2] = np.inf
    assert np.abs(render_logmel(np.full_like(logmel, 6e4), recipe)).max() <= 1
    assert np.isfinite(render_logmel(hostile, recipe)).all()
    huge = Recipe(n_mels=60_000, window_ms=1000.0)
    with pytest.raises(FormatError, match="spectrograms of this recipe are too large"):
        render_logmel(np.zeros((60_000, 3), np.float16), huge)


def test_wav_files() -> None:
    samples = np.array([0.0, 0.5, -1.0, 1.0, 2.0], np.float32)
    with wave.open(io.BytesIO(encode_wav(samples, 16_000))) as file:
        assert file.getparams()[:4] == (1, 2, 16_000, 5)
        values = np.frombuffer(file.readframes(5), "<i2")
    assert values.tolist() == [0, 16384, -32767, 32767, 32767]
