"""Finds shot cuts on grid frames, as PySceneDetect's content detector does by default."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


class CutDetector:
    """Compares frames by hue, saturation and value, without memory of earlier cuts.

    Whether a frame starts a new shot depends only on it and the frame before, so the result does
    not depend on where a segment starts. The minimum shot length is applied later, to the whole
    movie (see `plan.place_clips`).
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._previous: NDArray[np.uint8] | None = None

    def is_cut(self, frame: NDArray[np.uint8]) -> bool:
        """Whether `frame` (H, W, 3) RGB differs sharply from the previous one passed in."""
        colors = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2HSV), np.uint8)
        score = 0.0 if self._previous is None else _distance(colors, self._previous)
        self._previous = colors
        return score >= self._threshold


def _distance(colors: NDArray[np.uint8], previous: NDArray[np.uint8]) -> float:
    """Mean absolute difference of the pixels of two (H, W, 3) frames, 0..255.

    The sums are exact, and divided by channel as PySceneDetect does, so that both agree to the last
    bit.
    """
    num_pixels = float(colors.shape[0] * colors.shape[1])
    hue, saturation, value, _ = cv2.sumElems(cv2.absdiff(colors, previous))
    return (hue / num_pixels + saturation / num_pixels + value / num_pixels) / 3.0
