"""The words of one clip: what a lockfile stores of its audio and video.

The audio of a clip is divided into equal parts of about `PART_SECONDS`, so that a word is about
this clip and nothing else; what happens before or after it does not matter. Two of its frames have
a word each.

    clip    |---- 0 ----|---- 1 ----|---- 2 ----|---- 3 ----|    audio words
             F                                             F     frame words

A word of 0 means that there is none: a part that is silent or does not change, a frame that shows
nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.video import frame_words
from shards_spec.dataset.fingerprints.words import Words, resampled, words_of
from shards_spec.recipe import Recipe

#: Changes when the same clips get other words.
WORDS_VERSION = "1"

#: Length of a part, about; columns and bands of the spectrogram that its word is made from.
PART_SECONDS, PART_COLUMNS, NUM_BANDS = 0.8, 16, 32

#: Frames of a clip that have a word: the first and the last.
FRAMES_PER_CLIP = 2

#: Parts whose bands change less than this (standard deviation, natural log of power), and those
#: that are quieter than this in every band (mean of the same), have no word.
MIN_DEVIATION, MIN_LEVEL = 0.35, -11.0

#: The same for copies, which have a word of almost everything but digital silence.
MIN_DEVIATION_OF_COPY = 0.05

_ACROSS_BANDS, _ALONG_TIME = range(16), range(1, 5)


def num_parts(recipe: Recipe) -> int:
    """Audio words of a clip."""
    return max(1, round(recipe.clip_samples / recipe.sample_rate_hz / PART_SECONDS))


def bands_of(logmel: NDArray[np.floating]) -> NDArray[np.float32]:
    """(n_mels, F) log-mel -> (F, `NUM_BANDS`)."""
    return np.ascontiguousarray(resampled(np.asarray(logmel, np.float32), NUM_BANDS, axis=0).T)


def audio_words(logmel: NDArray[np.floating], recipe: Recipe, *, of_copy: bool = False) -> Words:
    """(`num_parts`,) words of the log-mel (n_mels, num_mel_frames) of one clip."""
    parts = num_parts(recipe)
    columns = resampled(bands_of(logmel), parts * PART_COLUMNS, axis=0)
    return window_words(columns.reshape(parts, PART_COLUMNS, NUM_BANDS), of_copy=of_copy)


def window_words(windows: NDArray[np.float32], *, of_copy: bool = False) -> Words:
    """(N, `PART_COLUMNS`, `NUM_BANDS`) natural log of power -> (N,) words.

    Those of a copy are compared with words of a lock only. So they are also made of what is too
    quiet for the lock: a copy may be quieter than the original.
    """
    images = windows.swapaxes(1, 2)
    means = images.mean(axis=2, keepdims=True)
    deviations = (images - means).std(axis=(1, 2))
    if of_copy:
        is_known = deviations >= MIN_DEVIATION_OF_COPY
    else:
        is_known = (deviations >= MIN_DEVIATION) & (means.max(axis=(1, 2)) >= MIN_LEVEL)
    return np.where(is_known, words_of(images - means, _ACROSS_BANDS, _ALONG_TIME), np.uint64(0))


def strip_words(luma: NDArray[np.uint8]) -> Words:
    """(`FRAMES_PER_CLIP`,) words of the luma (T, H, W) of a clip's frames."""
    words, shown = frame_words(luma[[0, -1]])
    return np.where(shown, words, np.uint64(0))
