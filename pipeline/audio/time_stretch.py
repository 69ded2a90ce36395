"""Changes the length of a piece of audio by a few parts per thousand, without audible seams.

Band-limited interpolation: output sample j is read at source position j * count / length with a
Kaiser-windowed sinc. At both ends of a piece the position is an integer, so the piece joins
neighbors that were not resampled, whose samples stay bit for bit as decoded.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Source samples that are read before and after a piece.
MARGIN = 16

_PHASES = 4096
_BLOCK = 1 << 14
_KAISER_BETA = 9.0


def resample_piece(source: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """(MARGIN + count + MARGIN,) samples -> (length,): the `count` in the middle, resampled."""
    count = len(source) - 2 * MARGIN
    windows = np.lib.stride_tricks.sliding_window_view(source, 2 * MARGIN)
    resampled = np.empty(length, dtype=np.float32)
    for begin in range(0, length, _BLOCK):
        steps = np.arange(begin, min(begin + _BLOCK, length), dtype=np.int64)
        # Position in units of 1 / _PHASES source samples, rounded; exact in 64-bit integers.
        ticks = (steps * count * _PHASES + length // 2) // length
        position, phase = ticks // _PHASES, ticks % _PHASES
        block = np.einsum("ij,ij->i", windows[position + 1], _kernels()[phase])
        resampled[begin : begin + len(steps)] = block
    return resampled


@lru_cache(maxsize=1)
def _kernels() -> NDArray[np.float32]:
    """(_PHASES, 2 * MARGIN): weights of the samples around a position, by its fraction."""
    fraction = np.arange(_PHASES)[:, None] / _PHASES
    distance = np.arange(2 * MARGIN)[None, :] - (MARGIN - 1) - fraction
    inside = np.clip(1.0 - (distance / MARGIN) ** 2, 0.0, None)
    weights = np.sinc(distance) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    kernels: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernels
