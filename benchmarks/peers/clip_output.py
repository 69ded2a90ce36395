"""What every peer makes of a clip: a film strip and a log-mel, as the default recipe stores them.

Needs NumPy and Pillow only, because it is imported in the peers' own environments.
"""

from __future__ import annotations

import contextlib
import io
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FPS, NUM_FRAMES = 5, 16
HEIGHT, WIDTH = 128, 224
"""Pixels of a frame whose movie is 16:9; reelshards rounds to the same multiples of 16."""
JPEG_QUALITY = 90
SAMPLE_RATE_HZ = 16_000
NUM_MELS, WINDOW, HOP = 80, 400, 160
FFT = 512
CLIP_SECONDS = NUM_FRAMES / FPS
CLIP_SAMPLES = int(SAMPLE_RATE_HZ * CLIP_SECONDS)

_LOW_HZ, _HIGH_HZ = 20.0, 8_000.0
_FLOOR = 1e-10


def film_strip(frames: NDArray[np.uint8]) -> bytes:
    """(T, H, W, 3) uint8 RGB -> one JPEG, the frames stacked from top to bottom."""
    buffer = io.BytesIO()
    strip = np.ascontiguousarray(frames).reshape(-1, frames.shape[2], 3)
    Image.fromarray(strip).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """(CLIP_SAMPLES,) mono -> (NUM_MELS, CLIP_SAMPLES // HOP) float16. Shorter ones are padded."""
    padded = np.zeros(CLIP_SAMPLES + FFT, np.float32)
    padded[: len(samples)] = samples[:CLIP_SAMPLES]
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[(FFT - WINDOW) // 2 :: HOP]
    windows = windows[: CLIP_SAMPLES // HOP] * _HANN
    power = np.square(np.abs(np.fft.rfft(windows, FFT)))
    mel = _FILTERS @ power.T
    return np.log(np.maximum(mel, _FLOOR)).astype(np.float16)


def npy(array: NDArray[np.float16]) -> bytes:
    """The bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


class TarWriter:
    """One WebDataset shard."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, key: str, members: dict[str, bytes]) -> None:
        """A sample: its members by extension."""
        for extension, data in members.items():
            info = tarfile.TarInfo(f"{key}.{extension}")
            info.size = len(data)
            self._tar.addfile(info, io.BytesIO(data))


@contextlib.contextmanager
def new_shard(path: Path) -> Iterator[TarWriter]:
    """The writer of a shard at this path, which is complete afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        yield TarWriter(tar)


def _mel_filters() -> NDArray[np.float32]:
    """(NUM_MELS, FFT // 2 + 1) triangles of equal area, evenly spaced on Slaney's mel scale."""
    low, high = (_mel(hz) for hz in (_LOW_HZ, _HIGH_HZ))
    edges = np.array([_hz(mel) for mel in np.linspace(low, high, NUM_MELS + 2)])
    bins = np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE_HZ)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    areas = 2 / (edges[2:] - edges[:-2])[:, None]
    return (areas * np.maximum(0, np.minimum(rising, falling))).astype(np.float32)


def _mel(hz: float) -> float:
    """Linear up to 1000 Hz, then logarithmic."""
    return 15 + 27 * math.log(hz / 1000, 6.4) if hz > 1000 else hz * 3 / 200


def _hz(mel: float) -> float:
    """The inverse of `_mel`."""
    return 1000 * 6.4 ** ((mel - 15) / 27) if mel > 15 else mel * 200 / 3


_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
_FILTERS = _mel_filters()
