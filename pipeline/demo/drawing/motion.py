"""The motions: one path per class, as a function of the beat.

`beat` counts up with time; every whole beat is an event that is visible (landing, turn, swell)
and, in `voices`, audible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FLASH_PER_BEAT = 6.0
"""Decay of the flash on an event, 1 / beat."""


@dataclass(frozen=True)
class Path:
    """Position and shape of a figure; each field `(F,)` or a number, F frames."""

    x: Floats | float = 0.0
    """Horizontal, -1 (left) to 1 (right) of its range."""
    y: Floats | float = 0.0
    """Vertical, -1 (top) to 1 (bottom) of its range."""
    angle: Floats | float = 0.0
    """Rotation, radians."""
    stretch: Floats | float = 0.0
    """Taller and thinner above 0, flatter and wider below; about [-0.3, 0.3]."""
    swell: Floats | float = 0.0
    """Relative growth, about [-0.3, 0.4]."""


def move(label: str, beat: Floats) -> Path:
    """The path of a class's figure at the given beats."""
    return _MOTIONS[label](beat)


def flash(beat: Floats) -> Floats:
    """Brightness of the flash, [0, 1]: 1 on a whole beat, then decaying."""
    return np.exp(-FLASH_PER_BEAT * (beat % 1.0))


def _triangle(beat: Floats, period: float) -> Floats:
    """-1 at 0, 1 at half a period, linear in between."""
    return 1.0 - 2.0 * np.abs(2.0 * ((beat / period) % 1.0) - 1.0)


def _eased(beat: Floats, share: float) -> Floats:
    """A staircase that rises by one on each whole beat, within `share` of the beat."""
    rise = np.clip((beat % 1.0) / share, 0.0, 1.0)
    return np.asarray(np.floor(beat) + rise * rise * (3.0 - 2.0 * rise))


def _bounce(beat: Floats) -> Path:
    part = beat % 1.0
    height = 4.0 * part * (1.0 - part)
    return Path(
        x=0.6 * np.sin(0.7 * beat),
        y=1.0 - 2.0 * height,
        stretch=0.12 * height - 0.25 * np.exp(-60.0 * np.minimum(part, 1.0 - part) ** 2),
    )


def _spin(beat: Floats) -> Path:
    return Path(angle=_eased(beat, 0.6) * np.pi / 2, swell=0.2 * flash(beat))


def _shuttle(beat: Floats) -> Path:
    return Path(
        x=_triangle(beat, 8.0),
        y=0.7 - 0.3 * flash(beat),
        angle=0.6 * beat,
        stretch=-0.12 * flash(beat),
    )


def _zigzag(beat: Floats) -> Path:
    return Path(x=_triangle(beat, 6.0), y=_triangle(beat, 2.0), stretch=-0.3 * flash(beat))


def _hover(beat: Floats) -> Path:
    return Path(
        x=np.sin(np.pi * beat / 2),
        y=0.8 * np.cos(np.pi * beat),
        angle=0.25 * np.cos(np.pi * beat / 2),
        stretch=0.15 * np.cos(np.pi * beat),
    )


def _throb(beat: Floats) -> Path:
    second = np.exp(-8.0 * ((beat - 0.3) % 1.0))
    return Path(swell=0.45 * np.exp(-5.0 * (beat % 1.0)) + 0.25 * second - 0.1)


def _swim(beat: Floats) -> Path:
    turn = np.pi * beat
    return Path(x=2.6 * ((beat / 3.0) % 1.0) - 1.3, y=0.5 * np.cos(turn), angle=-0.3 * np.sin(turn))


def _hop(beat: Floats) -> Path:
    corner = _eased(beat, 0.25) * np.pi / 2 + np.pi / 4
    return Path(x=1.2 * np.cos(corner), y=1.2 * np.sin(corner), stretch=-0.2 * flash(beat))


def _orbit(beat: Floats) -> Path:
    turn = beat * np.pi / 2
    return Path(x=np.cos(turn), y=np.sin(turn), angle=turn, swell=0.25 * flash(beat))


def _swing(beat: Floats) -> Path:
    reach = np.cos(np.pi * beat)
    return Path(x=0.8 * reach, y=0.6 - 0.9 * reach**2, angle=-0.7 * reach)


def _eight(beat: Floats) -> Path:
    turn = beat * np.pi / 2
    return Path(x=np.sin(turn), y=0.9 * np.sin(2 * turn), angle=0.4 * np.cos(turn))


def _quake(beat: Floats) -> Path:
    shock = np.exp(-2.5 * (beat % 1.0)) * np.sin(9 * np.pi * (beat % 1.0))
    return Path(x=0.5 * shock, y=-0.35, angle=0.3 * shock, swell=0.35 * flash(beat))


_MOTIONS: dict[str, Callable[[Floats], Path]] = {
    "ball": _bounce,
    "star": _spin,
    "engine": _shuttle,
    "bird": _zigzag,
    "ghost": _hover,
    "heart": _throb,
    "fish": _swim,
    "robot": _hop,
    "flower": _orbit,
    "moon": _swing,
    "kite": _eight,
    "cloud": _quake,
}
