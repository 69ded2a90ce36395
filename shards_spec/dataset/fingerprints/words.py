"""64-bit words that describe a small image: equal for what looks the same, and cheap to compare.

An image (a frame, or a few seconds of a spectrogram) is transformed with a 2-D cosine transform; a
word has the signs of 64 of its low-frequency coefficients. Encoding again, scaling, brightness,
contrast, loudness and equalization change few of them. Words of different content differ in about
32 bits.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

#: Bits of a word.
WORD_BITS = 64


def words_of(images: NDArray[np.float32], rows: range, columns: range) -> Words:
    """(N, H, W) images -> (N,) words.

    Args:
        rows: vertical frequencies, in half periods per image.
        columns: horizontal frequencies; `rows` and `columns` make 64 pairs.
    """
    num_images, height, width = images.shape
    vertical, horizontal = _cosines(height, rows), _cosines(width, columns)
    coefficients = np.einsum("uh,nhw,vw->nuv", vertical, images, horizontal, optimize=True)
    bits = (coefficients > 0).reshape(num_images, WORD_BITS)
    return np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0].astype(np.uint64)


def distances(first: Words, second: Words) -> NDArray[np.uint8]:
    """Number of different bits of each pair of words, 0 to 64."""
    both = np.ascontiguousarray(first ^ second).view(np.uint8).reshape(*first.shape, 8)
    return np.asarray(_NUM_BITS[both].sum(axis=-1, dtype=np.uint8))


_NUM_BITS = np.array([number.bit_count() for number in range(256)], dtype=np.uint8)


def resampled(values: NDArray[np.float32], size: int, axis: int) -> NDArray[np.float32]:
    """Means of `size` equal parts along an axis; parts may begin and end inside of an element."""
    moved = np.moveaxis(values, axis, -1)
    length = moved.shape[-1]
    sums = np.zeros((*moved.shape[:-1], length + 1), dtype=np.float64)
    np.cumsum(moved, axis=-1, out=sums[..., 1:], dtype=np.float64)
    edges = np.linspace(0.0, length, size + 1)
    low = np.minimum(edges.astype(np.int64), length - 1)
    part = edges - low
    at_edges = sums[..., low] * (1.0 - part) + sums[..., low + 1] * part
    means = np.diff(at_edges, axis=-1) * (size / length)
    return np.asarray(np.moveaxis(means, -1, axis), dtype=np.float32)


@cache
def _cosines(length: int, frequencies: range) -> NDArray[np.float32]:
    """(len(frequencies), length) basis of the cosine transform, without its scale."""
    phase = (np.arange(length) + 0.5) * np.pi / length
    return np.cos(np.asarray(frequencies)[:, None] * phase).astype(np.float32)
