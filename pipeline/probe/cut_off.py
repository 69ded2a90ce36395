"""How much of the duration that a file declares it lacks, because it was cut off."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.ffmpeg.binaries import decodable_codecs
from pipeline.probe.streams.packets import AudioPackets, Packets
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.probe.streams.video_timing import Outlier
from pipeline.probe.tracks.audio_track import AudioTrack, audio_tracks
from shards_spec.recipe import NANOSECONDS

#: A file is cut off if it lacks more than this, and more than this fraction of what it declares.
MIN_MISSING_NS = NANOSECONDS
MIN_MISSING = 0.01

#: A declared end this close after a wrong timestamp was computed from it.
_SLACK_NS = 2 * NANOSECONDS


def missing_ns(
    listed: StreamList,
    packets: Packets,
    video: VideoStream,
    outliers: Sequence[Outlier],
    span_ns: tuple[int, int],
) -> int:
    """How much is missing at the end; 0 if the file is whole.

    The stream's own declaration counts; that of the container, which includes the audio, only in
    its absence. Both are slightly off in many intact files.

    Args:
        listed: the streams of the file.
        packets: of these streams.
        video: the chosen one.
        outliers: its wrong timestamps.
        span_ns: container times of its first frame and of the end of its last one.
    """
    start_ns, end_ns = span_ns
    # The declared duration includes frames before the first keyframe, which cannot be decoded.
    start_ns = min(start_ns, _first_ns(video, packets))
    declared_end_ns, actual_end_ns = start_ns + _declared_ns(listed, video), end_ns
    if declared_end_ns == start_ns and listed.end_seconds:
        declared_end_ns = round(listed.end_seconds * NANOSECONDS)
        tracks = audio_tracks(listed, decodable_codecs())
        actual_end_ns = max([end_ns, *(_last_ns(track, packets) for track in tracks)])
    elif "matroska" in listed.container or "mov" in listed.container:
        # Some programs write the end there, which is the duration only if times start at 0; in MP4
        # an empty edit at the start counts.
        declared_end_ns -= max(0, start_ns)
    missing = declared_end_ns - actual_end_ns
    is_cut_off = missing > max(MIN_MISSING_NS, round(MIN_MISSING * (declared_end_ns - start_ns)))
    # The program that wrote a wrong timestamp derived the end from it.
    wrong = [round(outlier.pts * video.time_base * NANOSECONDS) for outlier in outliers]
    is_wrong = any(time > end_ns and declared_end_ns <= time + _SLACK_NS for time in wrong)
    return missing if is_cut_off and not is_wrong else 0


def _declared_ns(listed: StreamList, video: VideoStream) -> int:
    """Duration of the video by its stream's header; 0 if it has none of its own."""
    # ASF declares one duration for all streams.
    return 0 if listed.container == "asf" else video.declared_duration_ns


def _first_ns(video: VideoStream, packets: Packets) -> int:
    """Container time of the first packet of the video."""
    first = int(packets.video[video.index].pts.min())
    return round(first * video.time_base * NANOSECONDS)


def _last_ns(track: AudioTrack, packets: Packets) -> int:
    """Container time of the last packet of a track."""
    last = packets.audio.get(track.index, AudioPackets()).last_pts
    return round((last or 0) * track.time_base * NANOSECONDS)
