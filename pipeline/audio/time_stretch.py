"""Stretches a piece of sound by a few parts per thousand, without a seam to its neighbours.

Band-limited interpolation: output sample j is read at source position j * count / length with a
Kaiser-windowed sinc. At both ends of a piece the position is a whole number, so pieces that were
not stretched may stand on either side, bit by bit as they were decoded.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Source samples that are read before and behind a piece.
MARGIN = 16

_PHASES = 4096
_BLOCK = 1 << 14
_KAISER_BETA = 9.0


def stretch(source: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """(MARGIN + count + MARGIN,) samples -> (length,), the `count` in the middle stretched."""
    count = len(source) - 2 * MARGIN
    windows = np.lib.stride_tricks.sliding_window_view(source, 2 * MARGIN)
    stretched = np.empty(length, dtype=np.float32)
    for begin in range(0, length, _BLOCK):
        steps = np.arange(begin, min(begin + _BLOCK, length), dtype=np.int64)
        # Position in units of 1 / _PHASES source samples, rounded; exact in 64-bit integers.
        ticks = (steps * count * _PHASES + length // 2) // length
        place, phase = ticks // _PHASES, ticks % _PHASES
        taken = np.einsum("ij,ij->i", windows[place + 1], _kernels()[phase])
        stretched[begin : begin + len(steps)] = taken
    return stretched


@lru_cache(maxsize=1)
def _kernels() -> NDArray[np.float32]:
    """(_PHASES, 2 * MARGIN): weights of the samples around a position, by its fraction."""
    fraction = np.arange(_PHASES)[:, None] / _PHASES
    distance = np.arange(2 * MARGIN)[None, :] - (MARGIN - 1) - fraction
    inside = np.clip(1.0 - (distance / MARGIN) ** 2, 0.0, None)
    weights = np.sinc(distance) * np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    kernels: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernels
