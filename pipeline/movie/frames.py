"""The picture halves of a movie's clips, put together from the grid frames of all its segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.movie.spool import SpoolPart
from pipeline.plan import PlacedPlan
from pipeline.video import VideoSegment
from shards_spec.sample import join_strip


@dataclass(frozen=True)
class VideoClip:
    """The picture half of a clip."""

    clip_number: int
    first_frame_pts_ns: int
    luma_mean: float
    luma_std: float
    motion: float


class MovieFrames:
    """All decoded grid frames of a movie; clips are cut from them."""

    def __init__(
        self,
        plan: PlacedPlan,
        segments: Sequence[tuple[VideoSegment, NDArray[np.uint8] | SpoolPart]],
    ) -> None:
        """`segments` with their bytes, in the order of the movie; `plan` with its clips placed."""
        self._plan = plan
        self._segments = [(found, data) for found, data in segments if len(found.pts_ns)]
        self._head = self._segments[0][0].jpeg_head if self._segments else b""
        founds = [found for found, _ in self._segments]
        self._steps = _joined([f.first_step + np.arange(len(f.pts_ns)) for f in founds])
        self._pts_ns = _joined([f.pts_ns for f in founds])
        self._luma_sum = _joined([f.luma_sum for f in founds])
        self._luma_square_sum = _joined([f.luma_square_sum for f in founds])
        self._change_sum = _joined([f.change_sum for f in founds])
        self._damaged = _joined([np.array(f.damaged_steps, np.int64) for f in founds])

    def clip(self, clip_number: int) -> VideoClip | None:
        """The clip, or None when the stream had not all of its frames."""
        begin, end = self._places(clip_number)
        count = end - begin
        if count != self._plan.recipe.num_frames:
            return None
        # Where a broken clock jumps back, frames may be counted that come on screen only later.
        if self._pts_ns[begin] > self._plan.clip_start_ns(clip_number):
            return None
        pixels = self._plan.height * self._plan.width
        # Whole numbers up to the last step: no order of summing changes the result.
        total, squares = (
            int(sums[begin:end].sum()) for sums in (self._luma_sum, self._luma_square_sum)
        )
        change = int(self._change_sum[begin + 1 : end].sum())
        return VideoClip(
            clip_number=clip_number,
            first_frame_pts_ns=int(self._pts_ns[begin]),
            luma_mean=total / (count * pixels),
            luma_std=math.sqrt(count * pixels * squares - total**2) / (count * pixels),
            motion=change / (pixels * max(1, count - 1)),
        )

    def is_damaged(self, clip_number: int) -> bool:
        """Whether a decoder had to mend one of the clip's frames."""
        step = self._plan.clip_step(clip_number)
        last = step + self._plan.recipe.num_frames
        return bool(np.any((self._damaged >= step) & (self._damaged < last)))

    def strip(self, clip_number: int) -> bytes:
        """The film strip of a clip that is there."""
        begin, end = self._places(clip_number)
        scans = [self._scan(int(step)) for step in self._steps[begin:end]]
        return join_strip(self._head, scans)

    def _places(self, clip_number: int) -> tuple[int, int]:
        """[begin, end) of the clip's frames among those that are there."""
        step = self._plan.clip_step(clip_number)
        begin, end = np.searchsorted(self._steps, [step, step + self._plan.recipe.num_frames])
        return int(begin), int(end)

    def _scan(self, step: int) -> bytes:
        for found, data in self._segments:
            place = step - found.first_step
            if 0 <= place < len(found.scan_ends):
                start = int(found.scan_ends[place - 1]) if place else 0
                return data[start : int(found.scan_ends[place])].tobytes()
        raise AssertionError(f"grid step {step} was not decoded")


def _joined(arrays: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *arrays])
