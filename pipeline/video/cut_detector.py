"""Finds shot cuts on grid frames, with PySceneDetect's content detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scenedetect import ContentDetector, FrameTimecode


class CutDetector:
    """PySceneDetect's content detector, without memory of earlier cuts.

    Whether a frame starts a new shot depends only on it and the frame before, so the result does
    not depend on where a segment starts. The minimum shot length is applied later, to the whole
    movie (see `plan.place_clips`).
    """

    def __init__(self, threshold: float, fps: float) -> None:
        self._detector = ContentDetector(threshold=threshold, min_scene_len=0)
        self._fps = fps
        self._count = 0

    def is_cut(self, frame: NDArray[np.uint8]) -> bool:
        """Whether `frame` (H, W, 3) RGB differs sharply from the previous one passed in."""
        time = FrameTimecode(self._count, self._fps)
        self._count += 1
        return bool(self._detector.process_frame(time, frame[..., ::-1]))
