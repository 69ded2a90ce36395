"""Audio of clips as spectra: of the stored FLAC, or of the log-mel where there is none.

Both become magnitudes of frames of 25 ms, every 10 ms, as YAMNet was trained on; see "Audio Set: An
ontology and human-labeled dataset for audio events" (Gemmeke et al., 2017) for its classes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from shards_spec.dataset.mels import hann_window, magnitudes_of
from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe
from shards_spec.sample import AUDIO, LOGMEL, decode_logmel

#: Of the frames that are judged.
RATE_HZ, WINDOW, HOP, N_FFT = 16_000, 400, 160, 512

FRAMES_PER_SECOND = RATE_HZ // HOP

#: Lowest level that is distinguished from digital silence, dBFS.
MIN_DBFS = -120.0


@dataclass(frozen=True, eq=False)
class Sound:
    """The audio of a clip."""

    magnitudes: NDArray[np.float32]
    """(num_frames, num_bins): 100 frames per second."""
    bin_hz: float
    """Distance of the bins."""
    power: NDArray[np.float64]
    """(num_frames,): mean square of the samples of each frame, full scale = 1."""

    def level_dbfs(self, first: int, end: int) -> float:
        """Level of the frames [first, end)."""
        power = float(self.power[first:end].mean()) if end > first else 0.0
        return max(MIN_DBFS, 10 * math.log10(max(power, 1e-30)))


def sound_of_clip(members: Mapping[str, memoryview], recipe: Recipe) -> Sound:
    """The audio of a stored clip. Raises `FormatError` for damaged members."""
    if AUDIO in members:
        try:
            samples, rate_hz = soundfile.read(io.BytesIO(members[AUDIO]), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise FormatError(f"its audio is not FLAC: {error}") from error
        return sound_of_samples(np.asarray(samples, np.float32), rate_hz)
    return sound_of_logmel(decode_logmel(members[LOGMEL]), recipe)


def sound_of_samples(samples: NDArray[np.float32], rate_hz: int) -> Sound:
    """(num_samples,) in [-1, 1] -> its spectra."""
    if rate_hz != RATE_HZ:
        samples = np.asarray(soxr.resample(samples, rate_hz, RATE_HZ), np.float32)
    # Nothing from outside the clip; and a frame at every hop, like the log-mel.
    num_frames = max(1, len(samples) // HOP)
    padded = np.zeros((num_frames - 1) * HOP + WINDOW, np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    phase = 2 * np.pi * np.arange(WINDOW) / WINDOW
    window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    spectrum = np.fft.rfft(frames * window, N_FFT)
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    return Sound(np.abs(spectrum).astype(np.float32), RATE_HZ / N_FFT, power)


def sound_of_logmel(logmel: NDArray[np.float16], recipe: Recipe) -> Sound:
    """(n_mels, num_mel_frames) log-mel -> spectra, as far as it determines them."""
    magnitudes = magnitudes_of(logmel, recipe)
    window = hann_window(recipe)
    # Parseval's theorem: a spectrum has all bins twice, except for the first and the last.
    squares = 2 * np.square(magnitudes, dtype=np.float64).sum(axis=1)
    power = squares / (recipe.n_fft * np.square(window, dtype=np.float64).sum())
    num_frames = max(1, round(logmel.shape[1] * recipe.hop_ms * FRAMES_PER_SECOND / 1000))
    times = np.arange(num_frames) * 1000 / (FRAMES_PER_SECOND * recipe.hop_ms)
    nearest = np.minimum(np.round(times).astype(np.int64), logmel.shape[1] - 1)
    # Magnitudes grow with the window: as of a window of 25 ms at 16 kHz.
    scale = np.float32(WINDOW / 2 / max(float(window.sum()), 1e-9))
    return Sound(magnitudes[nearest] * scale, recipe.sample_rate_hz / recipe.n_fft, power[nearest])
