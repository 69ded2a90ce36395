"""Audio fingerprints: words of a log-mel spectrogram on the timeline of a movie.

A word covers `WINDOW_SECONDS` from its time on, and words follow each other every `STEP_SECONDS`.
Only how each band changes within the window counts, so loudness and equalization do not matter; the
word of a copy that starts between two words, or runs 4 % faster, differs in few bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.words import Words, resampled, words_of
from shards_spec.recipe import NANOSECONDS, Recipe

#: Time between words, and between the columns of a coarse spectrogram; and length of a window.
STEP_SECONDS, COLUMN_SECONDS, WINDOW_SECONDS = 0.5, 0.05, 3.0

#: Bands of the coarse spectrogram, whatever the number of mel bands.
NUM_BANDS = 32

#: Windows that change less than this (standard deviation, natural log of power) get no word.
MIN_DEVIATION = 0.35

#: Share of a window's columns that must be there.
_MIN_COVERAGE = 0.95

_STEP_COLUMNS = round(STEP_SECONDS / COLUMN_SECONDS)
_WINDOW_COLUMNS = round(WINDOW_SECONDS / COLUMN_SECONDS)

#: Frequencies of the bits: along the bands, and along time, where 0 is what does not change.
_ACROSS_BANDS, _ALONG_TIME = range(16), range(1, 5)


@dataclass(frozen=True)
class Track:
    """The words of a movie's video or audio, in the order of time."""

    step: NDArray[np.int32]
    """(N,) ascending: a word is at `step * STEP_SECONDS` on the movie timeline."""
    words: Words
    """(N,)."""

    @staticmethod
    def empty() -> Track:
        """No words."""
        return Track(np.zeros(0, np.int32), np.zeros(0, np.uint64))


def coarse_columns(
    logmel: NDArray[np.floating], start_ns: int, hop_seconds: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The coarse spectrogram of a piece of audio.

    Args:
        logmel: (n_mels, F), natural log of mel power.
        start_ns: time of its first column on the movie timeline.
        hop_seconds: time between its columns.

    Returns:
        (C,) numbers of the columns, in units of `COLUMN_SECONDS` from the start of the movie; and
        (C, `NUM_BANDS`) float32, their means.
    """
    bands = resampled(np.asarray(logmel, np.float32), NUM_BANDS, axis=0)
    times = start_ns / NANOSECONDS + np.arange(bands.shape[1]) * hop_seconds
    # A time that is a multiple up to rounding belongs to the column that begins there.
    number = np.floor(times / COLUMN_SECONDS + 1e-6).astype(np.int64)
    firsts = np.flatnonzero(np.diff(number, prepend=-1))
    counts = np.diff(np.append(firsts, len(number)))
    sums = np.add.reduceat(bands, firsts, axis=1) if len(firsts) else bands
    return number[firsts], np.asarray((sums / counts).T, dtype=np.float32)


def audio_track(
    pieces: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]],
) -> Track:
    """The words of a movie from the `coarse_columns` of its clips, in any order."""
    numbers, values = [], []
    for number, bands in pieces:
        numbers.append(number)
        values.append(bands)
    if not numbers:
        return Track.empty()
    number = np.concatenate(numbers)
    origin = int(number.min()) // _STEP_COLUMNS * _STEP_COLUMNS
    length = int(number.max()) - origin + 1
    bands = np.zeros((length, NUM_BANDS), np.float32)
    is_known = np.zeros(length, dtype=bool)
    bands[number - origin] = np.concatenate(values)
    is_known[number - origin] = True
    # Clips that begin inside of a column leave no gap that the next known column cannot fill.
    last_known = np.maximum.accumulate(np.where(is_known, np.arange(length), 0))
    return _windows(bands[last_known], is_known, origin // _STEP_COLUMNS)


def logmel_track(logmel: NDArray[np.floating], recipe: Recipe, start_ns: int = 0) -> Track:
    """The words of one log-mel spectrogram (n_mels, F) of any length."""
    hop_seconds = recipe.hop_samples / recipe.sample_rate_hz
    return audio_track([coarse_columns(logmel, start_ns, hop_seconds)])


def _windows(bands: NDArray[np.float32], is_known: NDArray[np.bool_], first_step: int) -> Track:
    if len(bands) < _WINDOW_COLUMNS * _MIN_COVERAGE:
        return Track.empty()
    missing = max(0, _WINDOW_COLUMNS - len(bands))
    bands = np.pad(bands, ((0, missing), (0, 0)), mode="edge")
    is_known = np.pad(is_known, (0, missing))
    starts = np.arange(0, len(bands) - _WINDOW_COLUMNS + 1, _STEP_COLUMNS)
    known = np.append(0, np.cumsum(is_known))
    coverage = (known[starts + _WINDOW_COLUMNS] - known[starts]) / _WINDOW_COLUMNS
    starts = starts[coverage >= _MIN_COVERAGE]
    steps, words = [], []
    # A few thousand windows at a time: a movie's would take a gigabyte.
    for part in np.array_split(starts, max(1, -(-len(starts) // 4096))):
        windows = bands[part[:, None] + np.arange(_WINDOW_COLUMNS)].swapaxes(1, 2)
        windows = windows - windows.mean(axis=2, keepdims=True)
        changes = windows.std(axis=(1, 2)) >= MIN_DEVIATION
        steps.append(part[changes] // _STEP_COLUMNS + first_step)
        words.append(words_of(windows[changes], _ACROSS_BANDS, _ALONG_TIME))
    return Track(np.concatenate(steps).astype(np.int32), np.concatenate(words))
