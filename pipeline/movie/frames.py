"""The video of a movie's clips, assembled from the grid frames of all its segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.movie.spool import SpoolPart
from pipeline.plan.movie_plan import PlacedPlan
from pipeline.video.segment import VideoSegment
from shards_spec.sample import join_strip


@dataclass(frozen=True)
class VideoClip:
    """What is known about the frames of a clip."""

    clip_number: int
    first_frame_pts_ns: int
    luma_mean: float
    """0..255."""
    luma_std: float
    motion: float
    """Mean absolute change of luma from frame to frame, 0..255."""


class MovieFrames:
    """All decoded grid frames of a movie; clips are cut from them."""

    def __init__(
        self, plan: PlacedPlan, segments: Sequence[tuple[VideoSegment, SpoolPart]]
    ) -> None:
        """`segments` with their bytes, in the order of the movie; `plan` with its clips placed."""
        self._plan = plan
        self._segments = [(video, data) for video, data in segments if len(video.pts_ns)]
        self._head = self._segments[0][0].jpeg_head if self._segments else b""
        videos = [video for video, _ in self._segments]
        self._steps = _joined([v.steps for v in videos])
        self._pts_ns = _joined([v.pts_ns for v in videos])
        self._luma_sum = _joined([v.luma_sum for v in videos])
        self._luma_square_sum = _joined([v.luma_square_sum for v in videos])
        self._change_sum = _joined([v.change_sum for v in videos])
        self._damaged = _joined([np.array(v.damaged_steps, np.int64) for v in videos])

    def clip(self, clip_number: int) -> VideoClip | None:
        """The clip, or None if the stream did not have all of its frames."""
        begin, end = self._frame_range(clip_number)
        count = end - begin
        if count != self._plan.recipe.num_frames:
            return None
        # Where a clock jumps back, frames that are on screen only later may be among them.
        if self._pts_ns[begin] > self._plan.clip_start_ns(clip_number):
            return None
        pixels = self._plan.height * self._plan.width
        # Integers up to the last operation: the order of summing cannot change the result.
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
        """Whether one of the clip's frames is concealed or missing."""
        step = self._plan.clip_step(clip_number)
        last = step + self._plan.recipe.num_frames
        return bool(np.any((self._damaged >= step) & (self._damaged < last)))

    def strip(self, clip_number: int) -> bytes:
        """The film strip (JPEG) of a clip that `clip` returned."""
        begin, end = self._frame_range(clip_number)
        scans = [self._scan(int(step)) for step in self._steps[begin:end]]
        return join_strip(self._head, scans)

    def _frame_range(self, clip_number: int) -> tuple[int, int]:
        """[begin, end) of the clip's frames among the decoded ones."""
        step = self._plan.clip_step(clip_number)
        begin, end = np.searchsorted(self._steps, [step, step + self._plan.recipe.num_frames])
        return int(begin), int(end)

    def _scan(self, step: int) -> bytes:
        for video, data in self._segments:
            index = int(np.searchsorted(video.steps, step))
            if index < len(video.steps) and video.steps[index] == step:
                start = int(video.scan_ends[index - 1]) if index else 0
                return data.read(start, int(video.scan_ends[index]))
        raise AssertionError(f"grid step {step} was not decoded")


def _joined(arrays: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *arrays])
