"""Proves that all frames of a VP9 or AV1 stream have one shape, without decoding any.

Decoders of these codecs do not skip frames on request, so decoding the keyframes alone costs as
much as decoding the movie.
"""

from __future__ import annotations

from pipeline.probe.containers.one_shape import SameFrames
from pipeline.probe.frame_headers import av1_frames, vp9_frames
from pipeline.probe.frame_headers.bits import UnexpectedDataError
from pipeline.probe.frame_headers.placed_packets import are_placed, data_ranges
from pipeline.probe.streams.packets import EMPTY_ORDER, EMPTY_TABLE, Packets
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.sources import Readable

#: Codecs whose headers are read, by ffmpeg's names.
CODECS = frozenset({"vp9", "av1"})


def examine_headers(
    source: Readable, listed: StreamList, video: VideoStream, packets: Packets
) -> SameFrames:
    """What the headers of all frames prove. Raises `MovieError` if the movie cannot be read."""
    table = packets.video.get(video.index, EMPTY_TABLE)
    order = packets.order.get(video.index, EMPTY_ORDER)
    is_readable = video.codec in CODECS and video.index not in packets.encrypted
    if not is_readable or not are_placed(listed, table, order):
        return SameFrames()
    with source.opened() as read:
        ranges = data_ranges(read, listed, table)
        try:
            if video.codec == "av1":
                size = av1_frames.find_size(read, ranges, table.is_key.tolist())
            else:
                size = vp9_frames.find_size(read, ranges)
        except UnexpectedDataError:
            return SameFrames()
    # A container that declares another size makes the filters compare the two.
    return SameFrames(has_one_shape=size == (video.width, video.height))
