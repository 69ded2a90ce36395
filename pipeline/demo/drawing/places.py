"""The places: one background pattern per class, in two tones of the movie's palette.

A pattern is a function of `(x, y)`, in frame heights with y downwards from the top of the frame,
and of a random generator for details such as the positions of stars; its value in [0, 1] ranges
from the dark tone to the light one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.demo.drawing.figures import ByteArray
from pipeline.demo.drawing.look import FloatArray, Palette, to_yuv

Pattern = Callable[[FloatArray, FloatArray, np.random.Generator], FloatArray]


@dataclass(frozen=True)
class Ground:
    """A drawn place, larger than the frame so that the camera can pan over it."""

    luma: ByteArray
    """`(H, W)` uint8."""
    blue: ByteArray
    """`(H / 2, W / 2)` uint8, like `red`."""
    red: ByteArray


def draw_ground(label: str, colors: Palette, width: int, height: int, seed: int) -> Ground:
    """The place of a class, `width` x `height` pixels (both even)."""
    rng = np.random.default_rng(seed)
    rows = np.arange(height, dtype=np.float32)[:, None] / height
    columns = np.arange(width, dtype=np.float32)[None, :] / height
    x, y = np.broadcast_arrays(columns + np.float32(rng.uniform(0, 4)), rows)
    tone = _PATTERNS[label](x, y, rng) * (0.9 - 0.25 * y)  # slightly lit from above
    span = colors.ground_light - colors.ground_dark
    yuv = to_yuv(colors.ground_dark + span * tone.astype(np.float32)[..., None])
    return Ground(
        luma=np.ascontiguousarray(yuv[..., 0]),
        blue=np.ascontiguousarray(yuv[::2, ::2, 1]),
        red=np.ascontiguousarray(yuv[::2, ::2, 2]),
    )


def _step(value: npt.NDArray[np.floating], softness: float = 0.04) -> FloatArray:
    """0 where `value` is negative, 1 where positive, with a soft edge."""
    return np.asarray(np.clip(value / softness + 0.5, 0.0, 1.0), np.float32)


def _hills(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    far = _step(y - 0.5 - 0.1 * np.sin(3.1 * x))
    near = _step(y - 0.72 - 0.08 * np.sin(4.7 * x + 1))
    return (0.9 - 0.5 * far - 0.4 * near).astype(np.float32)


def _night(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    tone = np.zeros_like(x)
    for _ in range(40):
        star_x, star_y = x.min() + rng.uniform(0, 2), rng.uniform(0, 1)
        glow = 0.016 + 0.02 * rng.uniform() - np.hypot(x - star_x, y - star_y)
        tone = np.maximum(tone, _step(glow, 0.02))
    return tone


def _bricks(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    row = np.floor(y * 7)
    along = (x * 3.5 + 0.5 * (row % 2)) % 1.0
    across = (y * 7) % 1.0
    return np.minimum(_step(along - 0.1, 0.05), _step(across - 0.15, 0.1))


def _sky(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    return (0.5 + 0.5 * np.sin(2 * np.pi * (4 * y + 0.1 * np.sin(2 * x)))).astype(np.float32)


def _arches(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    along = (x * 2) % 1.0 - 0.5
    above = np.minimum(y - 0.45, 0.0) * 2
    return _step(0.36 - np.hypot(along, above))


def _ripples(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    radius = np.hypot(x - x.mean(), y - 0.5)
    return np.asarray(0.5 + 0.5 * np.cos(28 * radius), np.float32)


def _waves(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    return _step(np.sin(40 * (y + 0.05 * np.sin(9 * x))), 0.6)


def _chequers(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    return _step(np.sin(5 * np.pi * x) * np.sin(5 * np.pi * y), 0.15)


def _meadow(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    shifted = x + 0.1 * (np.floor(y * 5) % 2)
    dot = 0.05 - np.hypot(shifted % 0.2 - 0.1, y % 0.2 - 0.1)
    return _step(dot, 0.02)


def _slopes(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    return _step(np.sin(14 * (x + y)), 0.3)


def _rays(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    turn = np.arctan2(y - 1.1, x - x.mean())
    return _step(np.sin(18 * turn), 0.3)


def _rain(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> FloatArray:
    lane = x * 16 - y * 3
    gap = (y * 2 + 0.37 * np.floor(lane)) % 1.0
    return np.minimum(_step(0.22 - np.abs(lane % 1.0 - 0.5), 0.1), _step(0.6 - gap, 0.1))


_PATTERNS: dict[str, Pattern] = {
    "ball": _hills,
    "star": _night,
    "engine": _bricks,
    "bird": _sky,
    "ghost": _arches,
    "heart": _ripples,
    "fish": _waves,
    "robot": _chequers,
    "flower": _meadow,
    "moon": _slopes,
    "kite": _rays,
    "cloud": _rain,
}
