"""Small movies that never repeat, and copies of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from shards_spec.recipe import Recipe
from tests.support.films.media import ffmpeg

RATE_HZ = 16_000
FPS, WIDTH, HEIGHT = 25, 96, 64
RECIPE = Recipe(num_frames=8, short_side=64, sample_rate_hz=RATE_HZ, frozen_motion=0.0)


def melody(seconds: float, seed: int) -> NDArray[np.float32]:
    """Chords of random tones, a new one every quarter of a second, with noise."""
    rng = np.random.default_rng(seed)
    length = RATE_HZ // 4
    time = np.arange(length) / RATE_HZ
    chords = []
    for _ in range(int(4 * seconds) + 1):
        tones = rng.uniform(150, 6000, 5)[:, None]
        chord = np.sin(2 * np.pi * tones * time).sum(axis=0) * np.exp(-time * rng.uniform(2, 12))
        chords.append(rng.uniform(0.2, 1.0) * chord + 0.05 * rng.normal(0, 1, length))
    samples = np.concatenate(chords)[: int(seconds * RATE_HZ)]
    return (0.15 * samples).astype(np.float32)


def make_movie(path: Path, seconds: float, seed: int) -> Path:
    """A movie of shots, each a slowly moving pattern, with a melody of its own."""
    raw, sound = path.with_suffix(".raw"), path.with_suffix(".wav")
    raw.write_bytes(b"".join(_frame(n, seed).tobytes() for n in range(round(seconds * FPS))))
    soundfile.write(sound, melody(seconds, seed), RATE_HZ)
    video = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS))
    encoded = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25")
    ffmpeg(*video, "-i", raw, "-i", sound, *encoded, "-c:a", "aac", "-b:a", "96k", path)
    raw.unlink()
    sound.unlink()
    return path


def _frame(number: int, seed: int) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH): waves of the shot of a frame."""
    rng = np.random.default_rng([seed, (number + 13) // 33])
    y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    image = np.zeros((HEIGHT, WIDTH))
    for _ in range(6):
        across, down, phase, speed = rng.uniform(-4, 4, 4)
        image += np.sin(2 * np.pi * (across * x + down * y + phase) + 0.02 * speed * number)
    return np.clip(128 + 35 * image, 16, 235).astype(np.uint8)


def make_copy(path: Path, original: Path, *options: str) -> Path:
    """The movie encoded again, with options of ffmpeg."""
    ffmpeg("-i", original, *options, "-c:v", "libx264", "-preset", "ultrafast", path)
    return path
