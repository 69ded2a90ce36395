"""SPEC.md is correct: its command prints its example, and its log-mel equals librosa's."""

import re
from pathlib import Path

import google_crc32c
import librosa
import numpy as np
import pytest

import shards_spec
from shards_spec import layout
from shards_spec.recipe import Recipe
from shards_spec.schema.tables import CLIPS_SCHEMA, MOVIES_SCHEMA, clip_rows

SPEC = Path(shards_spec.__file__).with_name("SPEC.md").read_text()


@pytest.fixture
def example(make_toy_dataset, tmp_path):
    return make_toy_dataset(str(tmp_path / "d"), num_movies=1, clips_per_movie=3)


def test_the_example_index(example):
    for row in clip_rows(example.clips):
        line = (
            f"| `{row.clip_id}` | {row.tar_offset} | {row.tar_bytes} | {row.crc32c:#010x} "
            f"| {row.start_ns} | {row.end_ns} |"
        )
        assert line in SPEC


def test_the_example_bytes(example):
    shard = example.storage.get(layout.shard_key("movie-000", 0))
    assert f"{len(shard):,} bytes" in SPEC
    lines = re.findall(r"^([0-9a-f]{8})  ((?:[0-9a-f]{2} ){15}[0-9a-f]{2})  \|", SPEC, re.MULTILINE)
    assert len(lines) == 14
    for offset, text in lines:
        place = int(offset, 16)
        assert shard[place : place + 16].hex(" ") == text
    assert f"{float(np.frombuffer(shard, '<f2', 1, 0xE80)[0]):.3f}" in SPEC


@pytest.mark.parametrize("name", [*CLIPS_SCHEMA.names, *MOVIES_SCHEMA.names, *Recipe().to_json()])
def test_every_column_is_documented(name):
    assert f"`{name}`" in SPEC or name in (
        "jpeg_quality",
        "shard_bytes",
        "crop_bars",
        "language",
        "seed",
    )


def test_documented_checksum():
    assert google_crc32c.value(b"123456789") == 0xE3069283


def spec_logmel(x: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Section 5.2, implemented literally, in double precision."""
    window, hop, n_fft = recipe.window_samples, recipe.hop_samples, recipe.n_fft
    y = np.concatenate([x, np.zeros(n_fft - hop)])
    w = np.zeros(n_fft)
    first = (n_fft - window) // 2
    w[first : first + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    columns = [w * y[j * hop : j * hop + n_fft] for j in range(len(x) // hop)]
    power = np.abs(np.fft.rfft(columns, axis=1).T) ** 2
    mel = spec_filters(recipe) @ power
    return np.log(np.maximum(mel, 1e-10)).astype(np.float16)


def spec_filters(recipe: Recipe) -> np.ndarray:
    def to_mel(f: float) -> float:
        return 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

    def to_hz(m: float) -> float:
        return 200 * m / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    low, high = to_mel(recipe.mel_low_hz), to_mel(recipe.mel_high_hz)
    edges = [to_hz(m) for m in np.linspace(low, high, recipe.n_mels + 2)]
    k = np.arange(recipe.n_fft // 2 + 1) * recipe.sample_rate_hz / recipe.n_fft
    rows = []
    for left, top, right in zip(edges, edges[1:], edges[2:], strict=False):
        triangle = np.minimum((k - left) / (top - left), (right - k) / (right - top))
        rows.append(np.maximum(triangle, 0.0) * 2 / (right - left))
    return np.stack(rows)


@pytest.mark.parametrize("window_ms", [25.0, 32.0])
def test_documented_log_mel_equals_librosas(window_ms):
    recipe = Recipe(window_ms=window_ms)
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal(recipe.clip_samples)
    x += 0.5 * np.sin(2 * np.pi * 440 * np.arange(recipe.clip_samples) / recipe.sample_rate_hz)
    power = librosa.feature.melspectrogram(
        y=np.pad(x, (0, recipe.n_fft - recipe.hop_samples)),
        sr=recipe.sample_rate_hz,
        n_fft=recipe.n_fft,
        hop_length=recipe.hop_samples,
        win_length=recipe.window_samples,
        center=False,
        n_mels=recipe.n_mels,
        fmin=recipe.mel_low_hz,
        fmax=recipe.mel_high_hz,
    )
    ours = spec_logmel(x, recipe)
    assert ours.shape == power.shape == (recipe.n_mels, recipe.num_mel_frames)
    np.testing.assert_allclose(ours.astype(float), np.log(np.maximum(power, 1e-10)), atol=0.01)
