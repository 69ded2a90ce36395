"""Decodes one segment of a movie into film strips: one sequential pass, never one a clip."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.grid import GridRun
from pipeline.plan import MoviePlan, Segment
from pipeline.shots import CutDetector
from shards_spec.sample import encode_strip


@dataclass(frozen=True)
class VideoClip:
    """The picture half of a clip."""

    clip_number: int
    first_frame_pts_ns: int
    luma_mean: float
    luma_std: float
    motion: float
    cut_steps: tuple[int, ...]
    """Frames of the clip (0..num_frames-1) that differ sharply from the grid frame before."""
    strip_offset: int
    """Where its film strip starts in the segment's bytes."""
    strip_bytes: int


@dataclass(frozen=True)
class VideoSegment:
    """A decoded segment; the film strips travel beside it as one array of bytes."""

    number: int
    clips: tuple[VideoClip, ...]
    """Complete clips only; the ones that the stream had no frames for are missing."""
    cpu_seconds: float


@dataclass(frozen=True)
class _GridFrame:
    step: int
    frame: NDArray[np.uint8]
    is_cut: bool


def decode_segment(
    plan: MoviePlan, segment: Segment, path: str
) -> tuple[VideoSegment, NDArray[np.uint8]]:
    """Decode a segment of the movie at a local path.

    Returns:
        The segment and (N,) uint8 film strips back to back.

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
    """Runs ffmpeg over a segment and gathers its clips."""

    def __init__(self, plan: MoviePlan, segment: Segment, path: str) -> None:
        self._plan = plan
        self._segment = segment
        self._strips: list[bytes] = []
        self._num_bytes = 0
        self._clips: list[VideoClip] = []
        self._run = GridRun(
            plan,
            path,
            first_step=plan.clip_step(segment.first_clip),
            seek_ns=segment.seek_ns,
            what=f"{plan.movie.name}, segment {segment.number}",
        )
        self._read()

    @property
    def entered_well(self) -> bool:
        """Whether what was decoded can be trusted; see `GridRun`."""
        return self._run.entered_well

    def result(self) -> tuple[VideoSegment, NDArray[np.uint8]]:
        """The clips, now with the source times of their first frames, and their film strips."""
        clips = tuple(
            replace(
                clip,
                first_frame_pts_ns=self._run.on_screen_ns(self._plan.clip_step(clip.clip_number)),
            )
            for clip in self._clips
        )
        # Where a broken clock jumps back, frames may be counted that come on screen only later.
        shown = tuple(
            clip
            for clip in clips
            if clip.first_frame_pts_ns <= self._plan.clip_start_ns(clip.clip_number)
        )
        data = np.frombuffer(b"".join(self._strips), dtype=np.uint8)
        return VideoSegment(self._segment.number, shown, self._run.cpu_seconds), data

    def _read(self) -> None:
        """Read grid frames until the segment is complete or the stream ends."""
        recipe = self._plan.recipe
        window: list[_GridFrame] = []
        detector = CutDetector(recipe.shot_threshold, recipe.fps)
        open_clip = self._segment.first_clip
        seconds = self._plan.segment_seconds(self._segment)
        with contextlib.closing(self._run.frames(600 + 60 * seconds)) as frames:
            for step, frame in frames:
                window.append(_GridFrame(step, frame, detector.is_cut(frame)))
                start = self._plan.clip_step(open_clip)
                window = [item for item in window if item.step >= start]
                if len(window) == recipe.num_frames:
                    self._add_clip(open_clip, window)
                    open_clip += 1
                if open_clip == self._segment.end_clip:
                    return

    def _add_clip(self, clip_number: int, window: list[_GridFrame]) -> None:
        frames = np.stack([item.frame for item in window])
        luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
        change = np.abs(np.diff(luma.astype(np.int16), axis=0))
        strip = encode_strip(frames, self._plan.recipe.jpeg_quality)
        self._clips.append(
            VideoClip(
                clip_number=clip_number,
                first_frame_pts_ns=0,
                luma_mean=float(luma.mean()),
                luma_std=float(luma.std()),
                motion=float(change.mean()) if len(window) > 1 else 0.0,
                cut_steps=tuple(i for i, item in enumerate(window) if item.is_cut),
                strip_offset=self._num_bytes,
                strip_bytes=len(strip),
            )
        )
        self._strips.append(strip)
        self._num_bytes += len(strip)
