"""A copy's audio as bands of its log-mel, from which words at any time and speed can be made.

The bands are in a temporary file, so memory use does not grow with the length of the movie.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import Soundtrack
from pipeline.audio.features import log_mel
from pipeline.matching.search import Settings
from pipeline.probe import Probe
from pipeline.sources import Readable
from shards_spec.dataset.lockfile.words import (
    NUM_BANDS,
    PART_COLUMNS,
    bands_of,
    num_parts,
    window_words,
)
from shards_spec.recipe import Recipe

#: Length of the pieces that are transformed at once, seconds.
_BLOCK_SECONDS = 20.0

#: Maximum number of words to make at once, and of columns that they span.
_MAX_WORDS, _MAX_COLUMNS = 4096, 1 << 16


@dataclass(frozen=True, eq=False)
class Bands:
    """The bands of a copy's audio, on the timeline of the copy."""

    values: NDArray[np.float16]
    """(F, `NUM_BANDS`) natural log of power."""
    columns_per_second: float
    """Of the copy."""
    settings: Settings

    @property
    def seconds(self) -> float:
        """Length of the copy's audio."""
        return len(self.values) / self.columns_per_second

    def words(self, seconds: NDArray[np.float64], speed: float) -> NDArray[np.uint64]:
        """(N,) words of the parts that begin at these times of the copy; 0 for none.

        `speed` is how many seconds of the original one second of the copy plays.
        """
        width = self.settings.part_seconds / speed * self.columns_per_second
        starts = seconds * self.columns_per_second
        inside = np.flatnonzero((starts >= 0) & (starts + width <= len(self.values)))
        words = np.zeros(len(seconds), np.uint64)
        order = inside[np.argsort(starts[inside], kind="stable")]
        for rows in _blocks(order, starts):
            words[rows] = window_words(self._windows(starts[rows], width), of_copy=True)
        return words

    def _windows(self, starts: NDArray[np.float64], width: float) -> NDArray[np.float32]:
        """(N, `PART_COLUMNS`, `NUM_BANDS`) means of equal parts of the windows."""
        low = int(starts[0])
        values = self.values[low : int(starts[-1] + width) + 2].astype(np.float64)
        sums = np.concatenate([np.zeros((1, NUM_BANDS)), np.cumsum(values, axis=0)])
        edges = (starts - low)[:, None] + np.arange(PART_COLUMNS + 1) * (width / PART_COLUMNS)
        index = np.minimum(edges.astype(np.int64), len(values) - 1)
        part = (edges - index)[:, :, None]
        at_edges = sums[index] + part * values[index]
        means = np.diff(at_edges, axis=1) * (PART_COLUMNS / width)
        return np.asarray(means, np.float32)


@contextlib.contextmanager
def read_bands(
    source: Readable, probe: Probe, recipe: Recipe, what: str, pitch: float = 1.0
) -> Iterator[Bands]:
    """Decode the audio of an open copy once.

    Args:
        pitch: the audio is played this much slower first, which lowers its pitch.
        what: the copy, for errors.

    Raises `MovieError` if it cannot be decoded.
    """
    rate = recipe.sample_rate_hz * pitch / recipe.hop_samples
    with tempfile.TemporaryFile(prefix="reelshards-") as file:
        for values in _blocks_of_bands(source, probe, recipe, what, pitch):
            file.write(values.astype(np.float16).tobytes())
        yield Bands(_mapped(file), rate, _settings(recipe))


def _settings(recipe: Recipe) -> Settings:
    clip_seconds = recipe.num_mel_frames * recipe.hop_samples / recipe.sample_rate_hz
    return Settings(
        part_seconds=clip_seconds / num_parts(recipe),
        missing_bits=22.0,
        shifts=np.arange(-0.1, 0.1001, 0.005),
        change_seconds=0.015,
        snap_speed=3e-5,
        spacing_bins=1,
    )


def _mapped(file: IO[bytes]) -> NDArray[np.float16]:
    file.flush()
    if not file.tell():
        return np.zeros((0, NUM_BANDS), np.float16)
    return np.memmap(file, np.float16, "r").reshape(-1, NUM_BANDS)


def _blocks_of_bands(
    source: Readable, probe: Probe, recipe: Recipe, what: str, pitch: float
) -> Iterator[NDArray[np.float32]]:
    """(columns, `NUM_BANDS`) of consecutive blocks; the columns are those of one long clip."""
    block = replace(recipe, num_frames=1, overlap_frames=0, fps=1 / _BLOCK_SECONDS, short_side=16)
    step = block.num_mel_frames * block.hop_samples
    length = step + recipe.n_fft - recipe.hop_samples
    samples = np.empty(0, np.float32)
    with Soundtrack(source, probe, probe.duration_ns, what=what) as track:
        for chunk in track.chunks(recipe.sample_rate_hz * pitch):
            samples = np.concatenate([samples, chunk])
            while len(samples) >= length:
                yield bands_of(log_mel(samples[:length], block))
                samples = samples[step:]
    columns = len(samples) // recipe.hop_samples
    if columns:
        rest = np.pad(samples, (0, max(0, length - len(samples))))
        yield bands_of(log_mel(rest, block))[:columns]


def _blocks(order: NDArray[np.int64], starts: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """Rows in order of time, in blocks of few words and few columns."""
    first = 0
    while first < len(order):
        limit = starts[order[first]] + _MAX_COLUMNS
        end = int(np.searchsorted(starts[order], limit, side="right"))
        end = min(end, first + _MAX_WORDS)
        yield order[first:end]
        first = end
