"""Looks at a few decoded frames of a movie: what containers leave out or get wrong.

Only a decoder tells when the first frame really comes on screen (AVI and ASF hold no presentation
times), whether frames are interlaced although nothing says so, and how bright an HDR master was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EncryptedError, NoDecoderError
from pipeline.ffmpeg import FfmpegProcess, ffprobe_path, input_arguments
from pipeline.probe.video_stream import VideoStream, orientation
from pipeline.sources import Movie, Readable

#: Places that are looked at, spread over the movie: seconds at the start, packets elsewhere.
NUM_LOOKS = 6
FIRST_LOOK_SECONDS = 2.0
LOOK_PACKETS = 12

_LOOK_SECONDS = 300.0


@dataclass(frozen=True)
class Look:
    """What a few frames of a movie are like."""

    first_pts: int | None
    """Presentation time of the first frame, ticks; None when none could be decoded near the start.
    """
    num_frames: int
    num_interlaced: int
    num_top_first: int
    """Interlaced frames whose top field is the earlier one."""
    orientation: tuple[bool, int] | None
    """Of the first frame, as `streams.orientation`: H.264 and HEVC can tell it in the stream."""
    peak_nits: float
    """Brightest light of an HDR master, cd/m2: mastering display or content; 0 when not told."""

    def told(self, video: VideoStream) -> VideoStream:
        """The stream with fields, and where it tells no orientation that too, as its frames say."""
        if self.orientation and not (video.rotation or video.mirrored):
            mirrored, rotation = self.orientation
            video = replace(video, mirrored=mirrored, rotation=rotation)
        if self.num_interlaced:
            order = "tt" if 2 * self.num_top_first >= self.num_interlaced else "bb"
            return replace(video, field_order=order)
        return replace(video, fields_untold=video.is_interlaced)


def look(movie: Movie, source: Readable, video: VideoStream, packet_pts: NDArray[np.int64]) -> Look:
    """Decode a few frames at the start and at places spread over the packets' times (ticks).

    Raises `NoDecoderError` when ffmpeg cannot decode the codec at all, `EncryptedError` when the
    packets are encrypted.
    """
    ticks = np.sort(packet_pts) if len(packet_pts) else np.zeros(1, np.int64)
    spread = np.linspace(0, 1, NUM_LOOKS + 1) * (len(ticks) - 1)
    first, *places = [float(int(ticks[int(at)]) * video.time_base) for at in spread[:-1]]
    # By time, not by packets, at the start: an edit list may hide a whole group of pictures there.
    begin_end = first + FIRST_LOOK_SECONDS
    others = [f"{place:.3f}%+#{LOOK_PACKETS}" for place in places if place > begin_end]
    intervals = ",".join([f"%{begin_end:.3f}", *others])
    options = ("-v", "error", "-select_streams", str(video.index), "-read_intervals", intervals)
    command = [ffprobe_path(), *options, "-show_packets", "-show_frames", "-of", "json"]
    command += input_arguments(source)
    with FfmpegProcess(command, source, what=movie.name, wall_seconds=_LOOK_SECONDS) as run:
        text = b"".join(run.lines())
        run.finish(tolerate_errors=True)
        if run.lacks_decoder:
            raise NoDecoderError(
                f"{movie.name}: this ffmpeg cannot decode {video.codec}; set FFMPEG_BINARY and "
                "FFPROBE_BINARY to a build that can (for av1: one with libdav1d)"
            )
    try:
        found: list[dict[str, Any]] = json.loads(text).get("packets_and_frames", [])
    except ValueError:
        found = []
    packets = [item for item in found if item.get("type") == "packet"]
    if any("Encryption" in str(packet.get("side_data_list", "")) for packet in packets):
        raise EncryptedError(
            f"{movie.name}: the video stream is encrypted; decrypt the file or remove it from the "
            "corpus"
        )
    frames = [item for item in found if item.get("type") == "frame"]
    return _summary(frames, round(begin_end / video.time_base))


def _summary(frames: list[dict[str, Any]], begin_end: int) -> Look:
    interlaced = [frame for frame in frames if frame.get("interlaced_frame")]
    side_data = [item for frame in frames for item in frame.get("side_data_list", [])]
    times = [int(frame.get("best_effort_timestamp", begin_end)) for frame in frames[:1]]
    return Look(
        first_pts=times[0] if times and times[0] < begin_end else None,
        num_frames=len(frames),
        num_interlaced=len(interlaced),
        num_top_first=sum(bool(frame.get("top_field_first")) for frame in interlaced),
        orientation=orientation(frames[0]) if frames else None,
        peak_nits=max((_peak_nits(item) for item in side_data), default=0.0),
    )


def _peak_nits(side_data: dict[str, Any]) -> float:
    """MaxCLL, or the mastering display's peak; what is below 100 cd/m2 or above 10 000 is wrong."""
    found = str(side_data.get("max_content") or side_data.get("max_luminance") or 0)
    try:
        nits = float(Fraction(found))
    except (ValueError, ZeroDivisionError):
        return 0.0
    return nits if 100.0 <= nits <= 10_000.0 else 0.0
