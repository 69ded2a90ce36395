"""Oscillators, envelopes and noise: what music and voices are made of. All mono float32."""

from __future__ import annotations

import numpy as np

from pipeline.demo.drawing.look import FloatArray

SAMPLE_RATE_HZ = 32_000
TABLE_SIZE = 4096


def num_samples(seconds: float) -> int:
    """Samples in a duration, at least one."""
    return max(1, round(seconds * SAMPLE_RATE_HZ))


def clock(seconds: float) -> FloatArray:
    """Sample times from 0, in seconds."""
    return np.arange(num_samples(seconds), dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)


def wavetable(harmonics: FloatArray) -> FloatArray:
    """One period of a tone, `(TABLE_SIZE,)`, from the weights of its harmonics 1, 2, ..."""
    turn = 2 * np.pi * np.arange(TABLE_SIZE) / TABLE_SIZE
    order = np.arange(1, len(harmonics) + 1)
    period = harmonics @ np.sin(np.outer(order, turn))
    return np.asarray(period / np.abs(period).max(), np.float32)


def play_table(table: FloatArray, hz: float, count: int) -> FloatArray:
    """`count` samples of a wavetable at a steady pitch."""
    step = hz * TABLE_SIZE / SAMPLE_RATE_HZ
    return np.asarray(
        table[(np.arange(count) * step).astype(np.int64) & (TABLE_SIZE - 1)], np.float32
    )


def glide(hz: FloatArray) -> FloatArray:
    """A sine whose frequency follows `hz`, one value per sample."""
    turns = np.cumsum(hz, dtype=np.float64) / SAMPLE_RATE_HZ
    return np.sin(2 * np.pi * (turns % 1.0)).astype(np.float32)


def swell(count: int, attack_seconds: float, release_seconds: float) -> FloatArray:
    """An envelope of `count` samples: up, steady at 1, down."""
    rising = np.arange(1, count + 1, dtype=np.float32) / num_samples(attack_seconds)
    falling = np.arange(count, 0, -1, dtype=np.float32) / num_samples(release_seconds)
    return np.minimum(np.minimum(rising, falling), 1.0)


def band_noise(count: int, low_hz: float, high_hz: float, seed: int) -> FloatArray:
    """Noise in a band, RMS 1, whose end joins its beginning."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    noise = np.fft.irfft(spectrum, count)
    return (noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)).astype(np.float32)


def level(decibels: float) -> float:
    """dBFS -> amplitude."""
    return float(10.0 ** (decibels / 20))
