"""Palette and grade: the part of a frame that identifies the movie and has no meaning."""

from __future__ import annotations

import colorsys
import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

LUMA_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""BT.709."""


@dataclass(frozen=True)
class Look:
    """Palette, color cast, contrast and texture of the film stock."""

    hue: float
    """Hue of the backgrounds, turns; only its fraction matters."""
    accent: float
    """Distance from the backgrounds' hue to the figures', turns."""
    saturation: float
    """Colorfulness, 0 (gray) to about 1."""
    key: float
    """Lightness of the backgrounds, about 0.7 (low key) to 1.5 (high key)."""
    contrast: float
    """Gain about middle gray, about 0.85 to 1.15."""
    warmth: float
    """Color cast, -1 (cold) to 1 (warm)."""
    vignette: float
    """Darkening of the corners, 0 to 0.5."""
    grain: float
    """Standard deviation of the grain in luma steps, 0 to 3."""


@dataclass(frozen=True)
class Palette:
    """The colors of one shot, graded; each `(3,)` float32 RGB in [0, 1]."""

    ground_dark: FloatArray
    ground_light: FloatArray
    figure: FloatArray
    figure_mark: FloatArray
    outline: FloatArray
    eye: FloatArray


def draw_look(rng: np.random.Generator, hue: float) -> Look:
    """A random look with the given hue (turns)."""
    return Look(
        hue=float(hue),
        accent=float(rng.uniform(0.3, 0.7)),
        saturation=float(rng.uniform(0.45, 1.0)),
        key=float(rng.uniform(0.7, 1.5)),
        contrast=float(rng.uniform(0.85, 1.15)),
        warmth=float(rng.uniform(-1.0, 1.0)),
        vignette=float(rng.uniform(0.1, 0.5)),
        grain=float(rng.uniform(0.0, 3.0)),
    )


def blend_look(movie: Look, own: Look, strength: float) -> Look:
    """`strength` of the movie's look and the rest of the shot's own.

    Hue is a circle: the shot's own hue, uniform on it, becomes an offset of at most
    `(1 - strength) / 2` turns, so that at 0 the movie's hue leaves no trace.
    """
    offset = (own.hue % 1.0 - 0.5) * (1.0 - strength)
    mixed = {
        field.name: strength * getattr(movie, field.name)
        + (1.0 - strength) * getattr(own, field.name)
        for field in dataclasses.fields(Look)
    }
    return Look(**{**mixed, "hue": movie.hue + offset})


def palette(look: Look) -> Palette:
    """The six colors of a look, graded."""
    color, ground = look.saturation, look.key
    accent = look.hue + look.accent
    return Palette(
        ground_dark=_grade(look, _rgb(look.hue, 0.75 * color, 0.22 * ground)),
        ground_light=_grade(look, _rgb(look.hue + 0.06, 0.6 * color, 0.5 * ground)),
        figure=_grade(look, _rgb(accent, 0.85 * color, 0.95)),
        figure_mark=_grade(look, _rgb(accent + 0.1, 0.35 * color, 1.0)),
        outline=_grade(look, _rgb(look.hue, 0.6 * color, 0.07)),
        eye=_grade(look, _rgb(0.0, 0.0, 1.0)),
    )


def to_yuv(rgb: FloatArray) -> npt.NDArray[np.uint8]:
    """`(..., 3)` RGB in [0, 1] -> `(..., 3)` Y, Cb, Cr: BT.709, 8 bit, video range.

    Luma stays in [24, 227], which leaves room for grain without clipping.
    """
    return np.stack(yuv_planes(rgb), axis=-1)


def yuv_planes(rgb: FloatArray) -> list[npt.NDArray[np.uint8]]:
    """The three planes of `to_yuv`, each of shape `(...)`."""
    luma = rgb @ LUMA_WEIGHTS
    blue = (rgb[..., 2] - luma) / 1.8556
    red = (rgb[..., 0] - luma) / 1.5748
    planes = (24 + 203 * luma, 128 + 224 * blue, 128 + 224 * red)
    return [np.clip(np.round(plane), 16, 240).astype(np.uint8) for plane in planes]


def _rgb(hue: float, saturation: float, value: float) -> FloatArray:
    rgb = colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))
    return np.array(rgb, np.float32)


def _grade(look: Look, rgb: FloatArray) -> FloatArray:
    cast = np.array([1 + 0.12 * look.warmth, 1.0, 1 - 0.12 * look.warmth], np.float32)
    graded = (rgb * cast - 0.45) * look.contrast + 0.45
    return np.asarray(np.clip(graded, 0.0, 1.0), np.float32)
