"""The grid frames of one span, measured and encoded as they are decoded.

Each frame becomes a JPEG of its own; `pipeline.movie` joins those of a clip without re-encoding. So
a segment need not know where clips start, and a frame that several clips share is encoded once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plan.movie_plan import MoviePlan
from pipeline.plan.segments import Span
from pipeline.video.cut_detector import CutDetector
from shards_spec.sample import encode_strip, split_jpeg


class FrameSource(Protocol):
    """What a decoding run knows about the frames that came from it."""

    def on_screen_ns(self, step: int) -> int:
        """Presentation time of the frame on screen at a grid step."""

    def damaged_steps(self, first_step: int, end_step: int) -> set[int]:
        """Steps in [first_step, end_step) whose frames cannot be trusted."""


class EncodedSpan:
    """Frames of steps [span.first_step, span.end_step), in order, without gaps."""

    def __init__(self, plan: MoviePlan, span: Span) -> None:
        self.span = span
        self.head = b""
        """JPEG headers, the same for all frames; empty without a frame."""
        self.scans: list[bytes] = []
        """Entropy-coded data of each frame."""
        self.sums: list[tuple[int, int, int]] = []
        """See `luma_sums`, of each frame."""
        self.pts_ns: list[int] = []
        """Presentation time of each frame."""
        self.cuts: set[int] = set()
        """Steps whose frames differ sharply from the previous ones, both undamaged."""
        self.damaged: set[int] = set()
        """Steps whose frames cannot be trusted; see `GridReader.damaged_steps`."""
        self._plan = plan

    @property
    def is_complete(self) -> bool:
        """Whether there is a frame for every step."""
        return len(self.scans) == self.span.end_step - self.span.first_step

    @property
    def steps(self) -> range:
        """Of its frames."""
        return range(self.span.first_step, self.span.first_step + len(self.scans))

    def end_at(self, step: int) -> None:
        """Leave out the steps from this one on."""
        self.span = replace(self.span, end_step=step, stop_step=None)
        count = step - self.span.first_step
        del self.scans[count:], self.sums[count:]
        self.cuts = {cut for cut in self.cuts if cut < step}

    def add(
        self, frame: NDArray[np.uint8], luma: NDArray[np.uint8], comparer: FrameComparer
    ) -> None:
        """Append the frame of the next step, (H, W, 3) RGB; `comparer` has the previous one."""
        if comparer.is_cut:
            self.cuts.add(self.span.first_step + len(self.scans))
        self.sums.append(luma_sums(luma, comparer.previous))
        self.head, scan = split_jpeg(encode_strip(frame[None], self._plan.recipe.jpeg_quality))
        self.scans.append(scan)

    def finish(self, source: FrameSource) -> None:
        """Take times and damage from the run, once all frames are there."""
        first, end = self.span.first_step, self.span.first_step + len(self.scans)
        self.pts_ns = [source.on_screen_ns(step) for step in range(first, end)]
        # The frame before the first one only matters for a cut.
        damaged = source.damaged_steps(max(0, first - 1), self.span.end_step) | self._broken_steps()
        self.cuts = {step for step in self.cuts if not damaged & {step - 1, step}}
        self.damaged = damaged & set(range(first, end))

    def fill(self) -> None:
        """Append black frames, marked as damaged, for the steps that have none."""
        first = self.span.first_step + len(self.scans)
        black = np.zeros((self._plan.height, self._plan.width, 3), np.uint8)
        self.head, scan = split_jpeg(encode_strip(black[None], self._plan.recipe.jpeg_quality))
        for step in range(first, self.span.end_step):
            self.scans.append(scan)
            self.sums.append((0, 0, 0))
            self.pts_ns.append(self._plan.recipe.grid_ns(step))
            self.damaged.add(step)

    def _broken_steps(self) -> set[int]:
        """Steps at which the container itself reports damage, from the one before the first on."""
        times = {
            step: self._plan.recipe.grid_ns(step)
            for step in range(max(0, self.span.first_step - 1), self.span.end_step)
        }
        broken = self._plan.probe.corrupt_ns
        return {
            step
            for step, time in times.items()
            if any(start <= time < end for start, end in broken)
        }


class FrameComparer:
    """Compares each frame of a run with the previous one."""

    def __init__(self, plan: MoviePlan) -> None:
        self.previous: NDArray[np.uint8] | None = None
        """(H, W) luma of the previous frame; None before the first."""
        self.is_cut = False
        """Whether the newest frame differs sharply from the previous one."""
        self._detector = CutDetector(plan.recipe.shot_threshold)

    def compare(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Compare the next frame, (H, W, 3) RGB; returns its luma, the next `previous`."""
        self.is_cut = self._detector.is_cut(frame)
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def luma_sums(luma: NDArray[np.uint8], previous: NDArray[np.uint8] | None) -> tuple[int, int, int]:
    """Sum, sum of squares and absolute change since `previous`, over the pixels; exact."""
    # OpenCV squares a square root here, which may be slightly below the whole number.
    squares = round(cv2.norm(luma, cv2.NORM_L2SQR))
    change = 0 if previous is None else round(cv2.norm(luma, previous, cv2.NORM_L1))
    return int(luma.sum()), squares, change
