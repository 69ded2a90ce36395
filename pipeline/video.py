"""Decodes one segment of a movie: one ffmpeg, one sequential pass, frames chosen by time.

The filter graph keeps, for each step of the clip grid, the frame that is on screen at that instant
(the last one with pts <= n / fps; ffmpeg's `fps` filter with `round=up` does just that), and
`showinfo` before it reports the pts of every decoded frame, so the true time of each chosen frame
is known.

    source frames   a     b     c     d     e     f        pts
    grid steps      |        |        |        |           n / fps
    chosen          a        b        d        e
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray
from scenedetect import ContentDetector, FrameTimecode

from pipeline.colour import ToneMap, colour_of
from pipeline.picture import input_stream, normalised, pixel_format, progressive
from pipeline.plan import MoviePlan, Segment
from pipeline.process import Run
from pipeline.tools import ffmpeg_path
from shards_spec.recipe import NANOSECONDS
from shards_spec.sample import encode_strip

#: What `showinfo` reports: which of the two, time, and for source frames the kind of picture.
_REPORT = re.compile(r"^\[showinfo@(source|grid)[^]]*\] n: *\d+ +pts: *(-?\d+) .*? type:(\S)")


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
    if segment.seek_ns is not None and not decoder.entered_well():
        # A broken seek index led past the segment's start, or a frame that is marked as a keyframe
        # is none: decode from the movie's beginning.
        decoder = _Decoder(plan, replace(segment, seek_ns=None), path)
    return decoder.result()


class _Decoder:
    """Runs ffmpeg over a segment and gathers its clips."""

    def __init__(self, plan: MoviePlan, segment: Segment, path: str) -> None:
        self._plan = plan
        self._segment = segment
        self._path = path
        self._pts: list[int] = []
        self._grid: list[int] = []
        self._first_intra_pts: int | None = None
        recipe = plan.recipe
        self._first_step = segment.first_clip * recipe.stride_frames
        self._end_step = (segment.end_clip - 1) * recipe.stride_frames + recipe.num_frames
        self._strips: list[bytes] = []
        self._num_bytes = 0
        self._clips: list[VideoClip] = []
        self._late = False
        colour = colour_of(plan.probe.video)
        self._tone = ToneMap(colour, plan.probe.peak_nits) if colour.needs_mapping else None
        self._cpu_seconds = self._run()

    def entered_well(self) -> bool:
        """Whether decoding began early enough, at a picture that needs none before it."""
        if self._late or self._first_intra_pts is None or self._segment.seek_ns is None:
            return False
        tick = self._plan.probe.video.time_base * NANOSECONDS
        return (self._first_intra_pts - 1) * tick <= self._segment.seek_ns

    def result(self) -> tuple[VideoSegment, NDArray[np.uint8]]:
        """The clips, now with the source times of their first frames, and their film strips."""
        stride = self._plan.recipe.stride_frames
        clips = tuple(
            replace(clip, first_frame_pts_ns=self._on_screen_ns(clip.clip_number * stride))
            for clip in self._clips
        )
        data = np.frombuffer(b"".join(self._strips), dtype=np.uint8)
        return VideoSegment(self._segment.number, clips, self._cpu_seconds), data

    def _run(self) -> float:
        plan = self._plan
        what = f"{plan.movie.name}, segment {self._segment.number}"
        seconds = plan.segment_seconds(self._segment)
        with Run(
            _command(plan, self._segment, self._path),
            what=what,
            wall_seconds=600 + 60 * seconds,
            on_line=self._note_report,
        ) as run:
            complete = self._read(run)
            if not complete and not self._late:
                # A stream that breaks off keeps its intact clips; one without a frame is an error.
                run.finish(tolerate_errors=True)
                if not self._pts:
                    raise run.error("no frame was decoded")
        return run.cpu_seconds

    def _note_report(self, line: str) -> None:
        match = _REPORT.match(line)
        if match is None:
            return
        pts = int(match.group(2))
        if match.group(1) == "grid":
            self._grid.append(pts)
            return
        if self._first_intra_pts is None and match.group(3) in "I?":
            self._first_intra_pts = pts
        # A clock that jumps back shows nothing until it is where it was.
        if not self._pts or pts > self._pts[-1]:
            self._pts.append(pts)

    def _read(self, run: Run) -> bool:
        """Read grid frames until the segment is complete; False when the stream ends before."""
        recipe = self._plan.recipe
        window: list[NDArray[np.uint8]] = []
        cuts: list[bool] = []
        detector = _CutDetector(recipe.shot_threshold, recipe.fps)
        open_clip = self._segment.first_clip
        for step, raw in self._grid_frames(run):
            if step < self._first_step - 1:
                continue
            frame = self._tone(raw) if self._tone else raw
            is_cut = detector.is_cut(frame)
            if step < open_clip * recipe.stride_frames:
                continue
            window.append(frame)
            cuts.append(is_cut)
            if len(window) == recipe.num_frames:
                self._add_clip(open_clip, window, cuts)
                del window[: recipe.stride_frames], cuts[: recipe.stride_frames]
                open_clip += 1
            if open_clip == self._segment.end_clip:
                return True
        return False

    def _grid_frames(self, run: Run) -> Iterator[tuple[int, NDArray[Any]]]:
        """(grid step, (H, W, 3) RGB frame as ffmpeg gives it), from where it entered the movie.

        Ends at once when it entered too late for the frame before the segment.
        """
        shape = (self._plan.height, self._plan.width, 3)
        kind = np.dtype(np.uint16 if self._tone else np.uint8)
        size = int(np.prod(shape)) * kind.itemsize
        count = 0
        while (data := run.read_exactly(size)) is not None:
            count += 1
            run.wait_for_line(lambda: len(self._grid) >= count)  # noqa: B023
            step = self._grid[count - 1]
            if count == 1 and self._segment.seek_ns is not None and step >= self._first_step:
                self._late = True
                return
            yield step, np.frombuffer(data, dtype=kind).reshape(shape)

    @property
    def _tick(self) -> Fraction:
        """Grid steps per tick of the video's time base."""
        return self._plan.probe.video.time_base * self._plan.recipe.fps_fraction

    def _add_clip(
        self, clip_number: int, window: list[NDArray[np.uint8]], cuts: list[bool]
    ) -> None:
        recipe = self._plan.recipe
        frames = np.stack(window)
        luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in window])
        change = np.abs(np.diff(luma.astype(np.int16), axis=0))
        strip = encode_strip(frames, recipe.jpeg_quality)
        self._clips.append(
            VideoClip(
                clip_number=clip_number,
                first_frame_pts_ns=0,
                luma_mean=float(luma.mean()),
                luma_std=float(luma.std()),
                motion=float(change.mean()) if len(window) > 1 else 0.0,
                cut_steps=tuple(i for i, cut in enumerate(cuts) if cut),
                strip_offset=self._num_bytes,
                strip_bytes=len(strip),
            )
        )
        self._strips.append(strip)
        self._num_bytes += len(strip)

    def _on_screen_ns(self, step: int) -> int:
        """Presentation time of the frame on screen at a grid step."""
        place = bisect.bisect_right(self._pts, Fraction(step) / self._tick)
        pts = self._pts[max(place - 1, 0)]
        return round(pts * self._plan.probe.video.time_base * NANOSECONDS)


def _command(plan: MoviePlan, segment: Segment, path: str) -> list[str]:
    probe, recipe = plan.probe, plan.recipe
    # A stream that changes its size or format goes on in the same graph: a new one would lose the
    # frames that the old one holds.
    options: dict[str, Any] = {"threads": 1, "copyts": None, "reinit_filter": 0}
    options["noautorotate"] = None
    if segment.seek_ns is not None:
        seconds = Fraction(segment.seek_ns + probe.start_ns, NANOSECONDS)
        # Half a tick of slack: the keyframe itself must not be missed by rounding.
        slack = probe.video.time_base / 2
        options |= {
            "seek_timestamp": 1,
            "noaccurate_seek": None,
            "ss": f"{float(seconds + slack):.6f}",
        }
    stream = input_stream(path, **options)[str(probe.video.index)]
    stream = stream.filter("setpts", f"PTS-({probe.start_pts})")
    stream = progressive(stream.filter("showinfo@source", checksum=0), probe)
    rate = recipe.fps_fraction
    stream = stream.filter("fps", f"{rate.numerator}/{rate.denominator}", round="up")
    stream = stream.filter("showinfo@grid", checksum=0)
    stream = normalised(stream, probe, plan.crop, (plan.height, plan.width))
    output = ffmpeg.output(
        stream,
        "pipe:1",
        format="rawvideo",
        pix_fmt=pixel_format(probe.video),
        fps_mode="passthrough",
    )
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "info")
    command: list[str] = ffmpeg.compile(output, cmd=ffmpeg_path())
    return command


class _CutDetector:
    """PySceneDetect's content detector, without memory of earlier cuts.

    Whether a frame starts a new shot depends on it and the frame before alone, so the answer is the
    same wherever a segment starts; the least length of a shot is applied to the whole movie later.
    """

    def __init__(self, threshold: float, fps: float) -> None:
        self._detector = ContentDetector(threshold=threshold, min_scene_len=0)
        self._fps = fps
        self._count = 0

    def is_cut(self, frame: NDArray[np.uint8]) -> bool:
        """Whether `frame` (H, W, 3) RGB differs sharply from the one given before."""
        time = FrameTimecode(self._count, self._fps)
        self._count += 1
        return bool(self._detector.process_frame(time, frame[..., ::-1]))
