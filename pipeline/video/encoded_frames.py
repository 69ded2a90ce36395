"""The grid frames of one leg of a film, measured and coded as they come from a run.

Each frame becomes a JPEG of its own; `strips` joins those of a clip without coding them anew. So a
segment need not know where clips start, and a frame that several clips share is coded once.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.plan import MoviePlan, Span
from pipeline.video.cut_detector import CutDetector
from pipeline.video.grid_reader import GridRun
from shards_spec.sample import encode_strip, split_jpeg


class CodedLeg:
    """Frames of steps [leg.first_step, leg.end_step), in order, without holes from the first on."""

    def __init__(self, plan: MoviePlan, leg: Span) -> None:
        self.leg = leg
        self.head = b""
        """JPEG headers that all frames share; empty without a frame."""
        self.scans: list[bytes] = []
        """Coded blocks of each frame."""
        self.sums: list[tuple[int, int, int]] = []
        """See `luma_sums`, of each frame."""
        self.pts_ns: list[int] = []
        """When the frame on screen came there, of each frame."""
        self.cuts: set[int] = set()
        """Steps whose frames differ sharply from the one before, both undamaged."""
        self.damaged: set[int] = set()
        """Steps whose frames are not to be trusted; see `GridRun.damaged_steps`."""
        self._plan = plan

    @property
    def is_complete(self) -> bool:
        """Whether there is a frame for every step."""
        return len(self.scans) == self.leg.end_step - self.leg.first_step

    def add(self, frame: NDArray[np.uint8], luma: NDArray[np.uint8], seen: Seen) -> None:
        """Take in the frame of the next step, (H, W, 3) RGB; `seen` knows the one before it."""
        if seen.is_cut:
            self.cuts.add(self.leg.first_step + len(self.scans))
        self.sums.append(luma_sums(luma, seen.before))
        self.head, scan = split_jpeg(encode_strip(frame[None], self._plan.recipe.jpeg_quality))
        self.scans.append(scan)

    def settle(self, run: GridRun) -> None:
        """Take over what the run knows of times and damage, now that the frames are there."""
        first, end = self.leg.first_step, self.leg.first_step + len(self.scans)
        self.pts_ns = [run.on_screen_ns(step) for step in range(first, end)]
        # The frame before the first one was looked at only for a cut.
        damaged = run.damaged_steps(max(0, first - 1), self.leg.end_step) | self._broken_steps()
        self.cuts = {step for step in self.cuts if not damaged & {step - 1, step}}
        self.damaged = damaged & set(range(first, end))

    def fill(self) -> None:
        """Black frames, marked as damaged, for the steps that have none."""
        first = self.leg.first_step + len(self.scans)
        black = np.zeros((self._plan.height, self._plan.width, 3), np.uint8)
        self.head, scan = split_jpeg(encode_strip(black[None], self._plan.recipe.jpeg_quality))
        for step in range(first, self.leg.end_step):
            self.scans.append(scan)
            self.sums.append((0, 0, 0))
            self.pts_ns.append(self._plan.recipe.grid_ns(step))
            self.damaged.add(step)

    def _broken_steps(self) -> set[int]:
        """Steps at which the container itself tells of damage, from the one before the first on."""
        times = {
            step: self._plan.recipe.grid_ns(step)
            for step in range(max(0, self.leg.first_step - 1), self.leg.end_step)
        }
        broken = self._plan.probe.broken_ns
        return {
            step
            for step, time in times.items()
            if any(start <= time < end for start, end in broken)
        }


class Seen:
    """What a run showed last: frames are compared with the one before."""

    def __init__(self, plan: MoviePlan) -> None:
        self.before: NDArray[np.uint8] | None = None
        """(H, W) luma of the frame before; None before the first."""
        self.is_cut = False
        """Whether the newest frame differs sharply from the one before."""
        self._detector = CutDetector(plan.recipe.shot_threshold, plan.recipe.fps)

    def look(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Compare the next frame, (H, W, 3) RGB; gives its luma, which is to become `before`."""
        self.is_cut = self._detector.is_cut(frame)
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def luma_sums(luma: NDArray[np.uint8], before: NDArray[np.uint8] | None) -> tuple[int, int, int]:
    """Sum, sum of squares and absolute change since `before`, over the pixels of a frame; exact."""
    # The norm squared has been a root in between: it may lie a hair below the whole number.
    squares = round(cv2.norm(luma, cv2.NORM_L2SQR))
    change = 0 if before is None else round(cv2.norm(luma, before, cv2.NORM_L1))
    return int(luma.sum()), squares, change
