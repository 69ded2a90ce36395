"""The windows of a short file: parts as long as a clip, evenly spaced from its start to its end.

A file shorter than a clip is repeated from its start until it is as long. Where a file has fewer
different windows than asked for, there are fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.features import log_mel
from pipeline.excerpts.decode import DecodedFile, decode_file
from shards_spec.recipe import Recipe
from shards_spec.sample import encode_strip


@dataclass(frozen=True, eq=False)
class Excerpts:
    """N windows of a file in the order of time; video and audio of a window begin together."""

    strips: tuple[bytes, ...] | None
    """Frames of each window as a film strip, encoded as in shards; None without video."""
    logmel: NDArray[np.float16] | None
    """(N, n_mels, num_mel_frames), as in shards; None without audio."""


def read_excerpts(
    path: Path, recipe: Recipe, num_windows: int, *, video: bool, audio: bool
) -> Excerpts:
    """Decode a file and cut at most `num_windows` windows from it.

    Args:
        path: the file.
        recipe: how the clips were made that the encoders were trained on.
        num_windows: at least 1.
        video: whether to read its video, which it then must have.
        audio: likewise its audio.

    Raises `MovieError` if the file cannot be decoded, or lacks what it must have.
    """
    decoded = decode_file(path, recipe, video=video, audio=audio)
    starts = _starts(decoded, recipe, num_windows)
    return Excerpts(_strips(decoded, starts, recipe), _logmels(decoded, starts, recipe))


def _starts(decoded: DecodedFile, recipe: Recipe, num_windows: int) -> list[float]:
    """Starts of the windows, grid steps; whole ones where there is video."""
    frames, samples = decoded.frames, decoded.samples
    if frames is not None:
        spare = float(len(frames) - recipe.num_frames)
    else:
        assert samples is not None
        spare = (len(samples) - recipe.clip_samples) / _samples_per_step(recipe)
    spare = max(0.0, spare)
    steps = np.linspace(0.0, spare, num_windows) if num_windows > 1 else np.array([spare / 2])
    starts: list[float] = np.unique(steps if frames is None else steps.round()).tolist()
    return starts


def _samples_per_step(recipe: Recipe) -> float:
    return recipe.sample_rate_hz / float(recipe.fps_fraction)


def _strips(decoded: DecodedFile, starts: list[float], recipe: Recipe) -> tuple[bytes, ...] | None:
    frames = decoded.frames
    if frames is None:
        return None
    steps = (round(start) + np.arange(recipe.num_frames) for start in starts)
    return tuple(encode_strip(frames[s % len(frames)], recipe.jpeg_quality) for s in steps)


def _logmels(
    decoded: DecodedFile, starts: list[float], recipe: Recipe
) -> NDArray[np.float16] | None:
    """(N, n_mels, num_mel_frames)."""
    samples = decoded.samples
    if samples is None:
        return None
    per_step = _samples_per_step(recipe)
    if decoded.frames is not None:
        # As long as the video, so that both repeat together; silence where audio ends before.
        length = round(len(decoded.frames) * per_step)
        samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    windows = (round(start * per_step) + np.arange(recipe.clip_samples) for start in starts)
    return np.stack([log_mel(samples[window % len(samples)], recipe) for window in windows])
