"""Decodes one segment of a movie into grid frames: one sequential pass, never one a clip.

Each frame becomes a JPEG of its own; `strips` joins those of a clip without coding them anew. So a
segment need not know where clips start, and a frame that several clips share is coded once.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.grid import GridRun
from pipeline.plan import MoviePlan, Segment
from pipeline.shots import CutDetector
from shards_spec.sample import encode_strip, split_jpeg


@dataclass(frozen=True)
class VideoSegment:
    """The N grid frames of a segment; their coded blocks travel beside it as one array of bytes.

    Arrays are (N,) int64.
    """

    number: int
    first_step: int
    """Grid step of the first frame; the others follow without holes."""
    pts_ns: NDArray[np.int64]
    """Presentation time of the source frame that is on screen at the step."""
    luma_sum: NDArray[np.int64]
    """Over the pixels of the frame."""
    luma_square_sum: NDArray[np.int64]
    change_sum: NDArray[np.int64]
    """Over the pixels: absolute change of luma from the step before; 0 where there is none."""
    cut_steps: tuple[int, ...]
    """Steps whose frames differ sharply from the one before, both undamaged."""
    damaged_steps: tuple[int, ...]
    """Steps whose frames the decoder had to mend; see `GridRun.is_damaged`."""
    scan_ends: NDArray[np.int64]
    """Where the coded blocks of each frame end in the segment's bytes."""
    jpeg_head: bytes
    """JPEG headers that all frames share; empty without a frame."""
    cpu_seconds: float


def decode_segment(
    plan: MoviePlan, segment: Segment, path: str
) -> tuple[VideoSegment, NDArray[np.uint8]]:
    """Decode a segment of the movie at a local path.

    Returns:
        The segment and (M,) uint8: its frames' coded blocks back to back.

    Raises:
        MediaError: ffmpeg failed before the first frame, or was stopped.
    """
    decoder = _Decoder(plan, segment, path)
    if not decoder.entered_well:
        # A broken seek index led past the segment's start, or a frame that is marked as a keyframe
        # is none: decode from the movie's beginning.
        decoder = _Decoder(plan, replace(segment, seek_ns=None), path)
    return decoder.result()


class _Decoder:
    """Runs ffmpeg over a segment and gathers its frames."""

    def __init__(self, plan: MoviePlan, segment: Segment, path: str) -> None:
        self._plan = plan
        self._segment = segment
        self._head = b""
        self._scans: list[bytes] = []
        self._steps: list[int] = []
        self._cuts: list[int] = []
        self._sums: list[tuple[int, int, int]] = []
        self._before: NDArray[np.uint8] | None = None
        self._detector = CutDetector(plan.recipe.shot_threshold, plan.recipe.fps)
        self._run = GridRun(
            plan,
            path,
            first_step=segment.first_step,
            seek_ns=segment.seek_ns,
            what=f"{plan.movie.name}, segment {segment.number}",
        )
        self._read()

    @property
    def entered_well(self) -> bool:
        """Whether what was decoded can be trusted; see `GridRun`."""
        return self._run.entered_well

    def result(self) -> tuple[VideoSegment, NDArray[np.uint8]]:
        """The frames, now with their source times, and their coded blocks."""
        luma_sum, luma_square_sum, change_sum = np.array(self._sums, np.int64).reshape(-1, 3).T
        damaged = {step for step in self._steps if self._run.is_damaged(step)}
        # The frame before the first one was looked at only for a cut.
        before = self._segment.first_step - 1
        beside = damaged | {before} if before >= 0 and self._run.is_damaged(before) else damaged
        found = VideoSegment(
            number=self._segment.number,
            first_step=self._steps[0] if self._steps else self._segment.first_step,
            pts_ns=np.array([self._run.on_screen_ns(step) for step in self._steps], np.int64),
            luma_sum=luma_sum,
            luma_square_sum=luma_square_sum,
            change_sum=change_sum,
            cut_steps=tuple(step for step in self._cuts if not beside & {step - 1, step}),
            damaged_steps=tuple(sorted(damaged)),
            scan_ends=np.cumsum([len(scan) for scan in self._scans], dtype=np.int64),
            jpeg_head=self._head,
            cpu_seconds=self._run.cpu_seconds,
        )
        return found, np.frombuffer(b"".join(self._scans), dtype=np.uint8)

    def _read(self) -> None:
        """Read grid frames until the segment is complete or the stream ends."""
        first, end = self._segment.first_step, self._segment.end_step
        seconds = self._plan.segment_seconds(self._segment)
        with contextlib.closing(self._run.frames(600 + 60 * seconds)) as frames:
            for step, frame in frames:
                is_cut = self._detector.is_cut(frame)
                luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
                if step >= first:
                    self._add(step, frame, luma)
                    if is_cut:
                        self._cuts.append(step)
                self._before = luma
                if step == end - 1:
                    return

    def _add(self, step: int, frame: NDArray[np.uint8], luma: NDArray[np.uint8]) -> None:
        assert not self._steps or step == self._steps[-1] + 1
        self._steps.append(step)
        self._sums.append(luma_sums(luma, self._before))
        self._head, scan = split_jpeg(encode_strip(frame[None], self._plan.recipe.jpeg_quality))
        self._scans.append(scan)


def luma_sums(luma: NDArray[np.uint8], before: NDArray[np.uint8] | None) -> tuple[int, int, int]:
    """Sum, sum of squares and absolute change since `before`, over the pixels of a frame; exact."""
    # The norm squared has been a root in between: it may lie a hair below the whole number.
    squares = round(cv2.norm(luma, cv2.NORM_L2SQR))
    change = 0 if before is None else round(cv2.norm(luma, before, cv2.NORM_L1))
    return int(luma.sum()), squares, change
