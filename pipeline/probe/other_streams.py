"""Streams that stop while another one of the same kind continues.

Broadcasts may move a stream to another packet identifier, announced by a new program map. ffmpeg
then starts a new stream, unless it is asked to continue the old one. Whatever remains in another
stream than the chosen one is counted as lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from pipeline.probe.streams.packets import Packets, read_packets
from pipeline.probe.streams.stream_list import StreamList, is_cover_art, relist
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.probe.streams.video_timing import VideoTiming
from pipeline.sources import Movie, Readable
from shards_spec.recipe import NANOSECONDS

#: The demuxer's option to continue a stream under its new identifier.
_MERGE = ("merge_pmt_versions", "1")
#: Of all streams of a transport stream.
_TICKS_PER_SECOND = 90_000
#: A gap between frames is one that another stream may fill if it is longer than this.
MIN_GAP_SECONDS = 1.0


def follow_moved_streams(
    movie: Movie, source: Readable, listed: StreamList, packets: Packets
) -> tuple[StreamList, Packets]:
    """The streams and packets of a movie, with streams that moved continued where that works."""
    if listed.container != "mpegts" or not _has_successor(packets):
        return listed, packets
    merged = relist(movie, source, listed, (*listed.options, _MERGE))
    continued = read_packets(movie, source, merged.options)
    if _num_streams(continued) < _num_streams(packets):
        return merged, continued
    return listed, packets


def lost_to_other_streams_ns(
    listed: StreamList, packets: Packets, video: VideoStream, timing: VideoTiming
) -> int:
    """Video in other streams, at times at which the chosen one has none."""
    time_bases = {int(s["index"]): Fraction(s["time_base"]) for s in listed.streams}
    covers = {int(stream["index"]) for stream in listed.of_type("video") if is_cover_art(stream)}
    others = [
        np.sort(table.pts) * float(time_bases.get(index, video.time_base))
        for index, table in packets.video.items()
        if index != video.index and index not in covers and len(table) > 1
    ]
    lost_seconds = 0.0
    for start, end in _gaps(timing, video.time_base):
        inside = [times[(times >= start) & (times < end)] for times in others]
        spans = [float(times[-1] - times[0]) for times in inside if len(times)]
        # Several streams may show the same time.
        longest = max(spans, default=0.0)
        lost_seconds += longest if longest > MIN_GAP_SECONDS else 0.0
    return round(lost_seconds * NANOSECONDS)


def _gaps(timing: VideoTiming, time_base: Fraction) -> Iterator[tuple[float, float]]:
    """Ranges of container time, seconds, in which the chosen stream shows no new frame."""
    seconds = timing.pts * float(time_base)
    steps = np.diff(seconds)
    usual = float(np.median(steps)) if len(steps) else 0.0
    long = np.flatnonzero(steps > max(MIN_GAP_SECONDS, 8 * usual))
    yield from ((float(seconds[i]), float(seconds[i + 1])) for i in long)
    yield timing.end_pts * float(time_base), float("inf")


def _has_successor(packets: Packets) -> bool:
    """Whether a stream starts after another one of its kind has ended."""
    tables = packets.video.values()
    video = [(int(table.pts.min()), int(table.pts.max())) for table in tables if len(table)]
    audio = [
        (found.first_pts, found.last_pts)
        for found in packets.audio.values()
        if found.first_pts is not None and found.last_pts is not None
    ]
    spans = [found for found in (video, audio) if found]
    # Parts may overlap by a few frames.
    slack = _TICKS_PER_SECOND // 2
    return any(
        len(found) > 1 and max(f for f, _ in found) > min(e for _, e in found) - slack
        for found in spans
    )


def _num_streams(packets: Packets) -> int:
    return len(packets.video) + len(packets.audio)
