"""Looks into a movie once: streams, timeline, keyframes.

Two ffprobe runs: one for the streams, one over all packet times (no decoding), because headers lie
about durations and only packets tell where the picture starts, where it can be entered, and whether
the frame rate varies. Where the sound stands only its decoder can tell: see `soundtrack`.

    container time   |--t0--[ video ................................ ]
    movie timeline          0                                      duration_ns
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus import Movie
from pipeline.errors import TooShortError, UnreadableError
from pipeline.process import INPUT_OPTIONS, Run, input_url
from pipeline.streams import VideoStream, choose_video
from pipeline.tools import ffprobe_path
from pipeline.tracks import AudioTrack, audio_tracks, choose_track
from shards_spec.recipe import NANOSECONDS

_PROBE_SECONDS = 900.0


@dataclass(frozen=True)
class Probe:
    """What a movie is made of. Times are nanoseconds on the movie timeline."""

    video: VideoStream
    audio: AudioTrack
    start_pts: int
    """Presentation time of the first frame, ticks of the video's time base: t = 0."""
    duration_ns: int
    """From the first frame to the end of the last one."""
    keyframes_ns: tuple[int, ...]
    """Presentation times of the keyframes, sorted."""
    is_vfr: bool
    other_audio: tuple[AudioTrack, ...] = ()
    """The tracks that were not chosen."""

    @property
    def start_ns(self) -> int:
        """Container time of t = 0."""
        return round(self.start_pts * self.video.time_base * NANOSECONDS)


def probe(movie: Movie, path: str, language: str) -> Probe:
    """Look into a movie at a local path. Raises the `MediaError` that fits."""
    streams = _streams(movie, path)
    video = choose_video(movie, streams)
    tracks = audio_tracks(streams)
    audio = choose_track(movie, tracks, language)
    packets = _packets(movie, path, {video.index})
    video_pts, video_end, keys = _video_times(movie, packets[video.index])
    tick = video.time_base * NANOSECONDS
    start = int(video_pts[0])
    duration_ns = round((video_end - start) * tick)
    if duration_ns <= 0:
        raise TooShortError(f"{movie.name}: the picture has no duration")
    return Probe(
        video=video,
        audio=audio,
        start_pts=start,
        duration_ns=duration_ns,
        keyframes_ns=tuple(round((int(key) - start) * tick) for key in keys),
        is_vfr=_is_vfr(video_pts),
        other_audio=tuple(track for track in tracks if track.index != audio.index),
    )


def _streams(movie: Movie, path: str) -> list[dict[str, Any]]:
    options = ("-v", "error", "-show_streams", "-show_format", "-of", "json")
    command = [ffprobe_path(), *options, *INPUT_OPTIONS, "-i", input_url(path)]
    with Run(command, what=movie.name, wall_seconds=_PROBE_SECONDS) as run:
        text = b"".join(run.lines())
        run.finish()
    try:
        streams: list[dict[str, Any]] = json.loads(text).get("streams", [])
    except ValueError as error:
        raise UnreadableError(f"{movie.name}: ffprobe printed no valid JSON: {error}") from error
    return streams


def _packets(movie: Movie, path: str, wanted: set[int]) -> dict[int, NDArray[np.int64]]:
    """(N, 3) pts, duration, is-keyframe of the presented packets of each wanted stream."""
    entries = "packet=stream_index,pts,dts,duration,flags"
    options = ("-v", "error", "-show_entries", entries, "-of", "csv=p=0")
    command = [ffprobe_path(), *options, *INPUT_OPTIONS, "-i", input_url(path)]
    rows: dict[int, list[tuple[int, int, int]]] = {index: [] for index in wanted}
    with Run(command, what=movie.name, wall_seconds=_PROBE_SECONDS) as run:
        for line in run.lines():
            fields = line.split(b",")
            if len(fields) < 5 or int(fields[0]) not in wanted:
                continue
            pts = fields[1] if fields[1] != b"N/A" else fields[2]
            # `D` marks packets before an edit list's start: decoded, never shown.
            if pts == b"N/A" or b"D" in fields[4]:
                continue
            length = 0 if fields[3] == b"N/A" else int(fields[3])
            rows[int(fields[0])].append((int(pts), length, int(b"K" in fields[4])))
        run.finish()
    return {index: np.array(found, dtype=np.int64).reshape(-1, 3) for index, found in rows.items()}


def _video_times(
    movie: Movie, packets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """Sorted presentation times, the end of the last frame, and the keyframes' times; ticks."""
    if len(packets) == 0:
        raise TooShortError(f"{movie.name}: the video stream has no frames")
    order = np.argsort(packets[:, 0], kind="stable")
    pts = packets[order, 0]
    last_length = int(packets[order[-1], 1])
    if last_length <= 0 and len(pts) > 1:
        last_length = int(np.median(np.diff(pts)))
    keys = pts[packets[order, 2] == 1]
    return pts, int(pts[-1]) + last_length, keys


def _is_vfr(pts: NDArray[np.int64]) -> bool:
    """Whether frame distances differ by more than rounding (1 tick each way) and 5 %."""
    if len(pts) < 3:
        return False
    steps = np.diff(pts)
    middle = float(np.median(steps))
    return bool(np.mean(np.abs(steps - middle) > max(2.0, 0.05 * middle)) > 0.01)
