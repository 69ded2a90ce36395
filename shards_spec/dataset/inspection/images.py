"""Images of clips for people: frames and spectrograms as RGB arrays, and PNG files.

The color map is our own: a path through OKLab whose lightness grows evenly with the value, so that
equal steps of the value look equally large.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

#: Pixels between frames.
_GAP = 2
#: Aspect ratio (width / height) that tiled frames should come close to.
_ASPECT = 1.6

# OKLab to linear sRGB: the two 3x3 matrices of its definition (Ottosson, 2020).
_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 RGB -> PNG bytes."""
    height, width, _ = image.shape
    # Each row is preceded by its filter type: 0, none.
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = image.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def tile_frames(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 -> one image: frames in rows, left to right and top to bottom."""
    num_frames, height, width, _ = frames.shape
    columns = best_columns(num_frames, height, width)
    rows = -(-num_frames // columns)
    shape = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3)
    image = np.full(shape, 24, dtype=np.uint8)
    for number, frame in enumerate(frames):
        top = _GAP + number // columns * (height + _GAP)
        left = _GAP + number % columns * (width + _GAP)
        image[top : top + height, left : left + width] = frame
    return image


def best_columns(num_frames: int, height: int, width: int) -> int:
    """Frames per row: only full rows, and an aspect ratio close to `_ASPECT`."""
    full = [columns for columns in range(1, num_frames + 1) if num_frames % columns == 0]
    target = np.log(_ASPECT)

    def distance(columns: int) -> float:
        aspect = columns * width / (num_frames // columns * height)
        return float(abs(np.log(aspect) - target))

    return min(full, key=distance)


def color_map(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values in [0, 1] -> RGB, from dark blue through red to pale yellow, lightness linear."""
    lightness = 0.12 + 0.84 * values
    hue = np.deg2rad(275.0 + 185.0 * values)
    # Low chroma at both ends, where the gamut is narrow.
    chroma = 0.04 + 0.52 * values * (1.0 - values)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    linear = np.clip((lab @ _TO_LMS.T) ** 3 @ _TO_RGB.T, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1.0 / 2.4) - 0.055)
    return np.asarray(np.round(encoded * 255.0), dtype=np.uint8)


def draw_logmel(logmel: NDArray[np.float16], scale: int = 4) -> NDArray[np.uint8]:
    """(n_mels, num_mel_frames) -> an image: time to the right, low frequencies at the bottom."""
    values = logmel.astype(np.float64)[::-1]
    low, high = values.min(), values.max()
    image = color_map((values - low) / max(high - low, 1e-9))
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
