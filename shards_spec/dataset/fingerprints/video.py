"""Video fingerprints: words of frames on the timeline of a movie.

The first stored frame of each `STEP_SECONDS` gets a word, without the black bars of the movie and
regardless of its size. Frames that show nothing (black, white, one color) get none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.audio import STEP_SECONDS, Track
from shards_spec.dataset.fingerprints.words import Words, resampled, words_of
from shards_spec.recipe import NANOSECONDS

#: Size of what is kept of a frame before bars are removed, and of the image that a word is of.
THUMB_SIDE, IMAGE_SIDE = 64, 16

#: Frames whose luma deviates less than this, 0..255, show nothing.
MIN_DEVIATION = 6.0

#: Rows and columns of pixels that deviate less than this, 0..255, may be part of a bar.
_MAX_BAR_DEVIATION = 4.0

#: Bars are at most this share of the height or width at each edge.
_MAX_BAR = 0.35

#: Frequencies of the bits; those that fall off the triangle of low frequencies are few.
_VERTICAL, _HORIZONTAL = range(1, 9), range(8)


@dataclass(frozen=True)
class Thumbs:
    """Small frames of one clip."""

    step: NDArray[np.int32]
    """(N,) ascending, units of `STEP_SECONDS`."""
    luma: NDArray[np.uint8]
    """(N, `THUMB_SIDE`, `THUMB_SIDE`)."""


def chosen_frames(start_ns: int, end_ns: int, num_frames: int) -> dict[int, int]:
    """Step -> number of the first frame of a clip in it."""
    times = start_ns + (end_ns - start_ns) * np.arange(num_frames) // num_frames
    steps = times // round(STEP_SECONDS * NANOSECONDS)
    first: dict[int, int] = {}
    for number, step in enumerate(steps.tolist()):
        first.setdefault(step, number)
    return first


def thumbs_of(luma: NDArray[np.uint8], chosen: dict[int, int]) -> Thumbs:
    """Small frames from the luma (T, H, W) of a clip's frames."""
    frames = luma[list(chosen.values())].astype(np.float32)
    for axis in (1, 2):
        frames = resampled(frames, THUMB_SIDE, axis)
    small = np.clip(np.rint(frames), 0, 255).astype(np.uint8)
    return Thumbs(np.array(list(chosen), np.int32), small)


def video_track(pieces: Iterable[Thumbs]) -> tuple[Track, NDArray[np.int32]]:
    """The words of a movie from the frames of its clips, in any order; and the steps that show
    nothing, ascending."""
    every = list(pieces)
    if not every:
        return Track.empty(), np.zeros(0, np.int32)
    steps, first = np.unique(np.concatenate([piece.step for piece in every]), return_index=True)
    frames = np.concatenate([piece.luma for piece in every])[first]
    rows, columns = _without_bars(frames, 1), _without_bars(frames, 2)
    words, shows = [], []
    for part in np.array_split(frames, max(1, -(-len(frames) // 4096))):
        images = part[:, rows, columns].astype(np.float32)
        for axis in (1, 2):
            images = resampled(images, IMAGE_SIDE, axis)
        shows.append(images.std(axis=(1, 2)) >= MIN_DEVIATION)
        words.append(words_of(images, _VERTICAL, _HORIZONTAL))
    is_shown = np.concatenate(shows)
    return Track(steps[is_shown], np.concatenate(words)[is_shown]), steps[~is_shown]


def frame_words(luma: NDArray[np.uint8]) -> tuple[Words, NDArray[np.bool_]]:
    """The words of frames (N, H, W) as they are, and which of them show anything: (N,) each."""
    images = luma.astype(np.float32)
    for axis in (1, 2):
        images = resampled(images, IMAGE_SIDE, axis)
    shown = images.std(axis=(1, 2)) >= MIN_DEVIATION
    return words_of(images, _VERTICAL, _HORIZONTAL), shown


def _without_bars(frames: NDArray[np.uint8], axis: int) -> slice:
    """The rows (axis 1) or columns (axis 2) without bars at the edges.

    A bar has one color, and the same in the whole movie; it need not be black.
    """
    other = 3 - axis
    # Compression and subtitles disturb bars in a few frames.
    deviation = np.percentile(frames.std(axis=other, dtype=np.float32), 95.0, axis=0)
    change = frames.mean(axis=other, dtype=np.float32).std(axis=0)
    is_bar = (deviation < _MAX_BAR_DEVIATION) & (change < _MAX_BAR_DEVIATION)
    inside = np.flatnonzero(~is_bar)
    length = frames.shape[axis]
    limit = int(_MAX_BAR * length)
    if not len(inside):
        return slice(0, length)
    return slice(min(int(inside[0]), limit), max(int(inside[-1]) + 1, length - limit))
