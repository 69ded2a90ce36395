"""The parts of an item that go through the towers: windows as long as the training clips.

An item is covered from its start to its end by as few windows as possible, which overlap if its
length is not a multiple of theirs. A long item has gaps instead: no more windows than the limit,
evenly spaced. An item shorter than a window is repeated from its start until it fills the window.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def window_starts(length: int, size: int, most: int) -> list[int]:
    """Starts of the windows, in order.

    Args:
        length: of the item, samples or frames; at least 1.
        size: of a window, in the same unit.
        most: maximum number of windows.
    """
    count = min(most, math.ceil(length / size))
    spare = max(0, length - size)
    if count < 2:
        return [spare // 2]
    return [round(number * spare / (count - 1)) for number in range(count)]


def window_indices(start: int, size: int, length: int) -> NDArray[np.int64]:
    """(size,) indices of a window in an item of `length`, which is repeated if it is shorter."""
    return (start + np.arange(size, dtype=np.int64)) % length


def centered_window(samples: NDArray[np.float32], center: int, size: int) -> NDArray[np.float32]:
    """(size,) samples around `center`; silence before the first sample and after the last one."""
    first = center - size // 2
    begin, end = max(0, first), min(len(samples), first + size)
    window = np.zeros(size, np.float32)
    if begin < end:
        window[begin - first : end - first] = samples[begin:end]
    return window
