"""Looks into a movie once: streams, timeline, keyframes.

Two ffprobe runs: one for the streams, one over all packet times (no decoding), because headers lie
about durations and only packets tell where the picture starts, where it can be entered, and whether
the frame rate varies. Where the sound stands only its decoder can tell: see `soundtrack`.

    container time   |--t0--[ video ................................ ]
    movie timeline          0                                      duration_ns
"""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NoFramesError, TooShortError, UnreadableError
from pipeline.ffmpeg import FfmpegProcess, ffprobe_path, input_arguments
from pipeline.probe.audio_track import AudioTrack, audio_tracks, choose_track, untimed
from pipeline.probe.sample_frames import Look, look
from pipeline.probe.video_stream import VideoStream, choose_video, conceals_errors
from pipeline.sources import Movie, Readable
from shards_spec.recipe import NANOSECONDS

#: Decoding times go back by less than this where packets merely stand out of order.
JUMP_SECONDS = 1.0

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
    """Presentation times of the keyframes, sorted; none where the container holds no such times."""
    is_vfr: bool
    other_audio: tuple[AudioTrack, ...] = ()
    """The tracks that were not chosen."""
    held_ns: int = 0
    """Time in which a frame stayed on screen after its first second: stills, or lost frames."""
    peak_nits: float = 0.0
    """Brightest light of an HDR master, cd/m2; 0 where it does not tell."""
    broken_ns: tuple[tuple[int, int], ...] = ()
    """Stretches [start, end) of groups of pictures with a packet that the container calls broken;
    only with decoders that do not mark what they mend themselves."""
    lost_ns: int = 0
    """Picture that is never on screen because the clock jumped back."""

    @property
    def start_ns(self) -> int:
        """Container time of t = 0."""
        return round(self.start_pts * self.video.time_base * NANOSECONDS)


def probe(movie: Movie, source: Readable, language: str) -> Probe:
    """Look into an open movie. Raises the `MovieError` that fits."""
    streams = _streams(movie, source)
    video = choose_video(movie, streams)
    source.limits.check_movie(movie.name, 0, video.width, video.height)
    tracks = audio_tracks(streams)
    audio = choose_track(movie, tracks, language)
    packets = _packets(movie, source, video.index, audio.index)
    if not len(packets[audio.index]):
        audio = untimed(audio)
    seen = look(movie, source, video, packets[video.index][:, 0])
    video_pts, video_end, keys = _video_times(movie, packets[video.index], seen)
    video = seen.told(video)
    tick = video.time_base * NANOSECONDS
    start = int(video_pts[0])
    duration_ns = round((video_end - start) * tick)
    if duration_ns <= 0:
        raise TooShortError(f"{movie.name}: the picture has no duration")
    source.limits.check_movie(movie.name, duration_ns, video.width, video.height)
    broken = () if conceals_errors(video.codec) else _broken_ns(packets[video.index], start, tick)
    return Probe(
        video=video,
        audio=audio,
        start_pts=start,
        duration_ns=duration_ns,
        keyframes_ns=tuple(round((int(key) - start) * tick) for key in keys),
        is_vfr=_is_vfr(video_pts),
        other_audio=tuple(track for track in tracks if track.index != audio.index),
        held_ns=_held_ns(video_pts, tick),
        peak_nits=seen.peak_nits,
        broken_ns=broken,
        lost_ns=_lost_ns(packets[video.index], tick),
    )


def frame_times_ns(movie: Movie, source: Readable, found: Probe) -> NDArray[np.int64]:
    """(N,) when the frames of a probed movie come on screen, by their packets; sorted."""
    video = found.video
    packets = _packets(movie, source, video.index)[video.index]
    pts = np.sort(packets[:, 0])
    ticks = (pts[pts >= found.start_pts] - found.start_pts).astype(np.float64)
    return np.rint(ticks * float(video.time_base * NANOSECONDS)).astype(np.int64)


def _streams(movie: Movie, source: Readable) -> list[dict[str, Any]]:
    options = ("-v", "error", "-show_streams", "-show_format", "-of", "json")
    command = [ffprobe_path(), *options, *input_arguments(source)]
    with FfmpegProcess(command, source, what=movie.name, wall_seconds=_PROBE_SECONDS) as run:
        text = b"".join(run.lines())
        run.finish()
    try:
        streams: list[dict[str, Any]] = json.loads(text).get("streams", [])
    except ValueError as error:
        raise UnreadableError(f"{movie.name}: ffprobe printed no valid JSON: {error}") from error
    return streams


def _packets(movie: Movie, source: Readable, *wanted: int) -> dict[int, NDArray[np.int64]]:
    """(N, 6) of the presented packets of each wanted stream that have a time, in the file's order.

    Of all streams but the first one that is wanted, only one packet is taken.

    Columns: pts (dts where there is none), duration, is keyframe, has a pts, dts (pts where there
    is none), is broken.
    """
    entries = "packet=stream_index,pts,dts,duration,flags"
    options = ("-v", "error", "-show_entries", entries, "-of", "csv=p=0")
    command = [ffprobe_path(), *options, *input_arguments(source)]
    # A long film has a million packets: as numbers side by side they take no room to speak of.
    rows = {stream: array("q") for stream in wanted}
    with FfmpegProcess(command, source, what=movie.name, wall_seconds=_PROBE_SECONDS) as run:
        for line in run.lines():
            fields = line.split(b",")
            stream = int(fields[0]) if len(fields) >= 5 else -1
            if stream not in rows or (stream != wanted[0] and rows[stream]):
                continue
            pts = fields[1] if fields[1] != b"N/A" else fields[2]
            # `D` marks packets before an edit list's start: decoded, never shown.
            if pts == b"N/A" or b"D" in fields[4]:
                continue
            length = 0 if fields[3] == b"N/A" else int(fields[3])
            dts = fields[2] if fields[2] != b"N/A" else pts
            is_key, is_broken = b"K" in fields[4], b"C" in fields[4]
            has_pts = fields[1] != b"N/A"
            rows[stream].extend((int(pts), length, is_key, has_pts, int(dts), is_broken))
        run.finish()
    return {
        stream: np.frombuffer(found, dtype=np.int64).reshape(-1, 6)
        for stream, found in rows.items()
    }


def _video_times(
    movie: Movie, packets: NDArray[np.int64], seen: Look
) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """Sorted presentation times, the end of the last frame, and the keyframes' times; ticks.

    What stands before the first frame that a decoder gave is never shown.
    """
    if len(packets) == 0 or seen.num_frames == 0:
        raise NoFramesError(
            f"{movie.name}: not one frame of the {len(packets)} packets of the video stream can be "
            "decoded; if a player shows the file, set FFMPEG_BINARY to that player's ffmpeg, "
            "else replace the file"
        )
    order = np.argsort(packets[:, 0], kind="stable")
    pts = packets[order, 0]
    first_pts = int(pts[0]) if seen.first_pts is None else seen.first_pts
    known = packets[order, 3] == 1
    if not known.all():
        # Decoding times stand for some: those of a steady stream are the presentation times, early
        # by the delay of its reordering.
        decoded = np.sort(packets[:, 4])
        pts = decoded + (first_pts - int(decoded[0]))
    last_length = int(packets[order[-1], 1])
    if last_length <= 0 and len(pts) > 1:
        last_length = int(np.median(np.diff(pts)))
    keys = packets[order, 0][known & (packets[order, 2] == 1)]
    shown = pts[pts >= first_pts]
    if len(shown) == 0:
        shown = pts
    return shown, int(shown[-1]) + last_length, keys[keys >= shown[0]]


def _broken_ns(
    packets: NDArray[np.int64], start: int, tick: Fraction
) -> tuple[tuple[int, int], ...]:
    """From the keyframe before each broken packet to the first whole one behind it.

    Transport streams number their packets, so that the loss of one is seen.
    """
    pts, is_key, is_broken = packets[:, 0], packets[:, 2] == 1, packets[:, 5] == 1
    keys, whole = np.flatnonzero(is_key), np.flatnonzero(is_key & ~is_broken)
    found: list[tuple[int, int]] = []
    for place in np.flatnonzero(is_broken):
        # Pictures before a keyframe on screen may be made from it: a broken one spoils them, too.
        before, after = np.searchsorted(keys, place), np.searchsorted(whole, place)
        first = int(pts[keys[before - 1]]) if before else int(pts.min())
        end = int(pts[whole[after]]) if after < len(whole) else int(pts.max()) + 1
        if found and first <= found[-1][1]:
            first = found.pop()[0]
        found.append((first, end))
    return tuple(
        (round((first - start) * tick), round((end - start) * tick)) for first, end in found
    )


def _lost_ns(packets: NDArray[np.int64], tick: Fraction) -> int:
    """How much picture comes after a jump back of the clock, up to where the clock was before.

    Recordings that were joined without remuxing do so; their second part has no place of its own.
    """
    dts = packets[:, 4]
    latest = np.maximum.accumulate(dts)
    # What follows each new latest time, until there is a later one.
    stretch = np.cumsum(dts == latest)
    jumps = dts < latest - JUMP_SECONDS * NANOSECONDS / float(tick)
    behind = (dts < latest) & np.isin(stretch, stretch[jumps])
    steps = np.diff(dts)
    usual = float(np.median(steps[steps > 0])) if np.any(steps > 0) else 0.0
    return round(float(behind.sum()) * usual * float(tick))


def _held_ns(pts: NDArray[np.int64], tick: Fraction) -> int:
    over = np.diff(pts) * float(tick) - NANOSECONDS
    return round(float(over[over > 0].sum()))


def _is_vfr(pts: NDArray[np.int64]) -> bool:
    """Whether frame distances differ by more than rounding (1 tick each way) and 5 %."""
    if len(pts) < 3:
        return False
    steps = np.diff(pts)
    middle = float(np.median(steps))
    return bool(np.mean(np.abs(steps - middle) > max(2.0, 0.05 * middle)) > 0.01)
