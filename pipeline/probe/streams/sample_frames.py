"""Decodes a few frames of a movie to learn what containers omit or get wrong.

Only decoding shows when the first frame appears (AVI and ASF have no presentation times), whether
frames are interlaced although the container does not say so, and how bright an HDR master was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EncryptedError, NoDecoderError, NoFramesError, OutOfMemoryError
from pipeline.ffmpeg import FfmpegProcess
from pipeline.ffmpeg.binaries import ffprobe_path
from pipeline.ffmpeg.inputs import input_arguments
from pipeline.probe.streams.first_look import MAX_OUTPUT_BYTES
from pipeline.probe.streams.packets import PacketTable
from pipeline.probe.streams.stream_list import InputOptions, as_arguments
from pipeline.probe.streams.video_stream import VideoStream, orientation
from pipeline.sources import Movie, Readable

#: Points at which frames are decoded, spread over the movie: this long at the start and after the
#: first keyframe (seconds), this many packets elsewhere.
NUM_POINTS = 6
START_SECONDS = 2.0
POINT_PACKETS = 12

_ENTRIES = (
    "packet=stream_index:packet_side_data=side_data_type:"
    "frame=best_effort_timestamp,interlaced_frame,top_field_first:"
    "frame_side_data=side_data_type,displaymatrix,max_content,max_luminance"
)


@dataclass(frozen=True)
class Shape:
    """Size, pixel aspect and orientation of the frames from some time on."""

    start_ns: int
    """On the movie timeline."""
    width: int
    """As decoded, pixels."""
    height: int
    sar: Fraction
    """Width of a decoded pixel divided by its height."""
    mirrored: bool = False
    rotation: int = 0
    """Degrees clockwise for upright display."""

    @property
    def aspect(self) -> Fraction:
        """Display width divided by display height, before rotation."""
        return Fraction(self.width, self.height) * self.sar


@dataclass(frozen=True)
class FrameSample:
    """What a few decoded frames of a movie show."""

    first_pts: int | None
    """Presentation time of the first frame, ticks; None if none near the start could be decoded.
    """
    num_frames: int
    num_interlaced: int
    num_top_first: int
    """Interlaced frames whose top field is the earlier one."""
    orientation: tuple[bool, int] | None
    """Of the first frame, as `video_stream.orientation`: H.264 and HEVC may carry it in the stream.
    """
    peak_nits: float
    """Peak brightness of an HDR master, cd/m2: mastering display or content; 0 if unknown."""

    def apply_to(self, video: VideoStream) -> VideoStream:
        """The stream with its field order, and with its orientation if the container has none."""
        if self.orientation and not (video.rotation or video.mirrored):
            mirrored, rotation = self.orientation
            video = replace(video, mirrored=mirrored, rotation=rotation)
        if self.num_interlaced:
            order = "tt" if 2 * self.num_top_first >= self.num_interlaced else "bb"
            return replace(video, field_order=order)
        return replace(video, has_unmarked_fields=video.is_interlaced)


def sample_frames(
    movie: Movie,
    source: Readable,
    video: VideoStream,
    packets: PacketTable,
    options: InputOptions,
    *,
    is_plain: bool = False,
) -> FrameSample:
    """Decode a few frames at the start of a stream and at points spread over it.

    With `is_plain`, all are known to be progressive, readable and without metadata of their own:
    then keyframes at the start are enough, unless the first frame might not be one.

    Raises:
        NoDecoderError: ffmpeg cannot decode the codec at all.
        EncryptedError: the packets are encrypted.
        NoFramesError: no frame can be decoded.
    """
    first_pts = int(packets.pts.min()) if len(packets) else 0
    if is_plain and len(packets) and packets.is_key[0] and packets.pts[0] == first_pts:
        sample = _decoded(movie, source, video, packets, options, is_brief=True)
        if sample.first_pts == first_pts:
            return sample
    sample = _decoded(movie, source, video, packets, options)
    if not sample.num_frames:
        raise no_frames(movie, len(packets))
    return sample


def _decoded(
    movie: Movie,
    source: Readable,
    video: VideoStream,
    packets: PacketTable,
    options: InputOptions,
    *,
    is_brief: bool = False,
) -> FrameSample:
    intervals, start_end = _intervals(packets, video.time_base, 1 if is_brief else NUM_POINTS)
    # The loop filter changes what frames show, which does not matter here.
    skipped = ("-skip_loop_filter", "all", "-select_streams", str(video.index))
    skipped = (*skipped, *(("-skip_frame", "nokey") if is_brief else ()))
    arguments = ("-v", "level+error", *as_arguments(options), *skipped)
    shown = ("-read_intervals", intervals, "-show_entries", _ENTRIES, "-of", "json")
    command = [ffprobe_path(), *arguments, *shown, *input_arguments(source)]
    with FfmpegProcess(command, source, what=movie.name) as process:
        text = process.read_all(MAX_OUTPUT_BYTES)
        process.wait()
        if process.lacks_decoder:
            raise NoDecoderError(
                f"{movie.name}: this ffmpeg cannot decode {video.codec}; set FFMPEG_BINARY and "
                "FFPROBE_BINARY to a build that can (for av1: one with libdav1d)"
            )
        items = _items(text)
        _require_unencrypted(movie, items)
        process.finish(tolerate_errors=True)
        frames = [item for item in items if _is(item, "frame")]
        if not frames and process.may_lack_memory:
            raise OutOfMemoryError(f"{movie.name}: no frame; raise --ffmpeg-memory-gib")
    return _summary(frames, start_end)


def _items(text: bytes) -> list[dict[str, Any]]:
    """The packets and frames in ffprobe's JSON; none if it is cut off."""
    try:
        items: list[dict[str, Any]] = json.loads(text).get("packets_and_frames", [])
    except ValueError:
        return []
    return items


def _require_unencrypted(movie: Movie, items: list[dict[str, Any]]) -> None:
    """Raise `EncryptedError` if a packet is encrypted."""
    if any("Encryption" in str(i.get("side_data_list", "")) for i in items if _is(i, "packet")):
        raise EncryptedError(
            f"{movie.name}: the video stream is encrypted; decrypt the file or remove it from the "
            "corpus"
        )


def no_frames(movie: Movie, num_packets: int) -> NoFramesError:
    """The error for a video stream without a frame that ffmpeg can decode."""
    return NoFramesError(
        f"{movie.name}: no frame of the {num_packets} packets of the video stream can be decoded; "
        "if a player shows the file, set FFMPEG_BINARY to that player's ffmpeg, otherwise replace "
        "the file"
    )


def _intervals(packets: PacketTable, time_base: Fraction, num_points: int) -> tuple[str, int]:
    """ffprobe's read intervals, and the end of the first of them, ticks."""
    ticks = np.sort(packets.pts) if len(packets) else np.zeros(1, np.int64)
    spread = np.linspace(0, 1, num_points + 1) * (len(ticks) - 1)
    first, *points = [float(int(ticks[int(at)]) * time_base) for at in spread[:-1]]
    # By time, not by packets, at the start: an edit list may hide a whole group of pictures there.
    # And past the first keyframe: a recording may start in the middle of a long group of pictures.
    start_end = max(first, _first_key(packets) * float(time_base)) + START_SECONDS
    others = [f"{point:.3f}%+#{POINT_PACKETS}" for point in points if point > start_end]
    return ",".join([f"%{start_end:.3f}", *others]), round(start_end / time_base)


def _first_key(packets: PacketTable) -> int:
    """Time of the first keyframe in the file, ticks; 0 if there is none."""
    keys: NDArray[np.int64] = packets.pts[packets.is_key]
    return int(keys[0]) if len(keys) else 0


def _is(item: dict[str, Any], kind: str) -> bool:
    return bool(item.get("type") == kind)


def _summary(frames: list[dict[str, Any]], start_end: int) -> FrameSample:
    interlaced = [frame for frame in frames if frame.get("interlaced_frame")]
    side_data = [item for frame in frames for item in frame.get("side_data_list", [])]
    times = [int(frame.get("best_effort_timestamp", start_end)) for frame in frames[:1]]
    return FrameSample(
        first_pts=times[0] if times and times[0] < start_end else None,
        num_frames=len(frames),
        num_interlaced=len(interlaced),
        num_top_first=sum(bool(frame.get("top_field_first")) for frame in interlaced),
        orientation=orientation(frames[0]) if frames else None,
        peak_nits=max((_peak_nits(item) for item in side_data), default=0.0),
    )


def _peak_nits(side_data: dict[str, Any]) -> float:
    """MaxCLL, or the peak of the mastering display; values outside 100..10 000 cd/m2 are wrong."""
    value = str(side_data.get("max_content") or side_data.get("max_luminance") or 0)
    try:
        nits = float(Fraction(value))
    except (ValueError, ZeroDivisionError):
        return 0.0
    return nits if 100.0 <= nits <= 10_000.0 else 0.0
