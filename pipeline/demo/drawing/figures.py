"""The figures: one silhouette and one surface mark per class, and eyes for all.

A silhouette is a function of `(u, v)`, coordinates in [-1.1, 1.1] with v downwards, to a depth
that is positive inside and roughly a distance near the edge. Shape and mark
identify the class in any palette.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.demo.drawing.look import FloatArray, Palette, to_yuv

SPRITE_SIDE = 192
"""Side of a drawn figure in pixels; larger than on screen, because frames sample it."""
SPRITE_EXTENT = 1.1
"""The sprite spans [-1.1, 1.1] in both coordinates."""
EDGE = 0.03
OUTLINE = 0.1

ByteArray = npt.NDArray[np.uint8]
Shape = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Sprite:
    """A figure to be moved, rotated and scaled. All arrays `(SPRITE_SIDE ** 2,)` uint8."""

    alpha: ByteArray
    """Opacity, 0 to 128."""
    luma: ByteArray
    blue: ByteArray
    red: ByteArray


@dataclass(frozen=True)
class _Figure:
    silhouette: Shape
    mark: Shape
    eyes_at: tuple[float, float]
    """Point between the eyes, (u, v)."""


def draw_figure(label: str, colors: Palette) -> Sprite:
    """The figure of a class in the colors of a shot."""
    figure = _FIGURES[label]
    axis = np.linspace(-SPRITE_EXTENT, SPRITE_EXTENT, SPRITE_SIDE, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    depth = figure.silhouette(u, v)
    rgb = _mix(colors.figure, colors.figure_mark, _cover(figure.mark(u, v)))
    u_eye = np.abs(u - figure.eyes_at[0]) - 0.2
    v_eye = v - figure.eyes_at[1]
    rgb = _mix(rgb, colors.eye, _cover(0.17 - np.hypot(u_eye, v_eye)))
    rgb = _mix(rgb, colors.outline, _cover(0.08 - np.hypot(u_eye, v_eye)))
    rgb = _mix(colors.outline, rgb, _cover(depth - OUTLINE))
    yuv = to_yuv(rgb).reshape(-1, 3)
    alpha = np.round(128 * _cover(depth)).astype(np.uint8)
    alpha[[0, -1], :] = 0  # samples outside the sprite are clipped to its border
    alpha[:, [0, -1]] = 0
    luma, blue, red = (np.ascontiguousarray(yuv[:, plane]) for plane in range(3))
    return Sprite(alpha.reshape(-1), luma, blue, red)


def _cover(depth: FloatArray) -> FloatArray:
    """Depth -> opacity in [0, 1] with a soft edge."""
    return np.asarray(np.clip(depth / EDGE + 0.5, 0.0, 1.0), np.float32)


def _mix(first: FloatArray, second: FloatArray, share: FloatArray) -> FloatArray:
    return first + (second - first) * share[..., None]


def _circle(u: FloatArray, v: FloatArray, cu: float, cv: float, radius: float) -> FloatArray:
    return np.asarray(
        np.float32(radius) - np.hypot(u - np.float32(cu), v - np.float32(cv)), np.float32
    )


def _box(u: FloatArray, v: FloatArray, cu: float, cv: float, hu: float, hv: float) -> FloatArray:
    return np.asarray(
        np.minimum(hu - np.abs(u - np.float32(cu)), hv - np.abs(v - np.float32(cv))), np.float32
    )


def _petals(u: FloatArray, v: FloatArray, count: int, inner: float, outer: float) -> FloatArray:
    """A rim that swings `count` times between two radii."""
    swing = 0.5 + 0.5 * np.cos(count * np.arctan2(u, -v))
    return np.asarray(inner + (outer - inner) * swing - np.hypot(u, v), np.float32)


def _star(u: FloatArray, v: FloatArray) -> FloatArray:
    turn = np.abs((np.arctan2(u, -v) / (2 * np.pi) * 5) % 1.0 - 0.5) * 2  # 1 on a ray, 0 between
    return ((0.42 + 0.58 * turn**1.5 - np.hypot(u, v)) * 0.7).astype(np.float32)


def _gear(u: FloatArray, v: FloatArray) -> FloatArray:
    teeth = np.clip(4 * np.cos(8 * np.arctan2(u, -v)), -1, 1)
    return np.asarray(0.8 + 0.16 * teeth - np.hypot(u, v), np.float32)


def _bird(u: FloatArray, v: FloatArray) -> FloatArray:
    wings = np.minimum(0.3 - np.abs(v + 0.75 * np.abs(u) - 0.3), 1.0 - np.abs(u))
    return np.maximum(wings, _circle(u, v, 0, 0.1, 0.42))


def _ghost(u: FloatArray, v: FloatArray) -> FloatArray:
    skirt = (0.82 + 0.12 * np.cos(11 * u)).astype(np.float32)
    body = np.minimum(np.minimum(0.68 - np.abs(u), v + 0.25), skirt - v)
    return np.asarray(np.maximum(body, _circle(u, v, 0, -0.25, 0.68)), np.float32)


def _heart(u: FloatArray, v: FloatArray) -> FloatArray:
    lobes = _circle(np.abs(u), v, 0.385, -0.325, 0.544)
    square = 0.71 * (0.77 - np.abs(u) - np.abs(v - 0.06))  # on its corner; lobes sit on two sides
    return np.asarray(np.maximum(lobes, square), np.float32)


def _fish(u: FloatArray, v: FloatArray) -> FloatArray:
    body = (1.0 - np.hypot((u - 0.2) / 0.78, v / 0.55)) * 0.6
    tail = np.minimum(np.abs(u + 0.2) - 0.15 - np.abs(v), np.minimum(-u - 0.2, u + 1.0))
    return np.asarray(np.maximum(body, tail), np.float32)


def _robot(u: FloatArray, v: FloatArray) -> FloatArray:
    head = np.maximum(_box(u, v, 0, 0.15, 0.72, 0.7), _circle(u, v, 0, -0.85, 0.17))
    return np.maximum(head, _box(u, v, 0, -0.65, 0.09, 0.3))


def _moon(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.minimum(_circle(u, v, 0, 0, 0.95), -_circle(u, v, 0.55, -0.25, 0.7))


def _kite(u: FloatArray, v: FloatArray) -> FloatArray:
    diamond = 0.62 - (np.abs(u) * 0.85 + np.abs(v + 0.25) * 0.8)
    tail = np.minimum(0.09 - np.abs(u - 0.14 * np.sin(9 * v)), _box(u, v, 0, 0.7, 0.6, 0.32))
    return np.asarray(np.maximum(diamond, tail.astype(np.float32)), np.float32)


def _cloud(u: FloatArray, v: FloatArray) -> FloatArray:
    puffs = [(-0.55, 0.2, 0.42), (0.0, -0.15, 0.55), (0.55, 0.2, 0.42), (0.0, 0.25, 0.4)]
    return np.asarray(np.maximum.reduce([_circle(u, v, *puff) for puff in puffs]), np.float32)


def _bands(u: FloatArray, v: FloatArray) -> FloatArray:
    return (0.2 * np.cos(9 * v)).astype(np.float32)


def _uprights(u: FloatArray, v: FloatArray) -> FloatArray:
    return (0.2 * np.cos(11 * u)).astype(np.float32)


def _spots(u: FloatArray, v: FloatArray) -> FloatArray:
    return (0.3 * (np.cos(9 * u) * np.cos(9 * v) - 0.3)).astype(np.float32)


def _slants(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(0.2 * np.cos(8 * (u + v)), np.float32)


def _rings(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(0.2 * np.cos(13 * np.hypot(u, v)), np.float32)


def _core(u: FloatArray, v: FloatArray) -> FloatArray:
    return _circle(u, v, 0, 0, 0.42)


def _cross(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.asarray(0.1 - np.minimum(np.abs(u), np.abs(v + 0.25)), np.float32)


def _plain(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.full_like(u, -1.0)


_FIGURES: dict[str, _Figure] = {
    "ball": _Figure(lambda u, v: _circle(u, v, 0, 0, 0.92), _bands, (0.0, -0.2)),
    "star": _Figure(_star, _plain, (0.0, -0.08)),
    "engine": _Figure(_gear, _core, (0.0, 0.0)),
    "bird": _Figure(_bird, _uprights, (0.0, 0.05)),
    "ghost": _Figure(_ghost, _plain, (0.0, -0.3)),
    "heart": _Figure(_heart, _rings, (0.0, -0.15)),
    "fish": _Figure(_fish, _spots, (0.45, -0.1)),
    "robot": _Figure(_robot, _spots, (0.0, 0.1)),
    "flower": _Figure(lambda u, v: _petals(u, v, 6, 0.5, 1.0), _core, (0.0, 0.0)),
    "moon": _Figure(_moon, _slants, (-0.5, 0.1)),
    "kite": _Figure(_kite, _cross, (0.0, -0.3)),
    "cloud": _Figure(_cloud, _plain, (0.0, 0.0)),
}
