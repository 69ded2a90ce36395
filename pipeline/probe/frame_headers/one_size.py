"""Proves that all frames of a VP9, AV1 or MPEG stream have one shape, without decoding any.

Decoders of VP9 and AV1 do not skip frames on request, so decoding the keyframes alone costs as much
as decoding the movie. The headers of MPEG are read anyway, for frames that may be left out.
"""

from __future__ import annotations

from pipeline.probe.containers.one_shape import SameFrames
from pipeline.probe.disposable.examiners import MPEG, size_of
from pipeline.probe.disposable.stream_units import StreamUnits
from pipeline.probe.frame_headers import av1_frames, vp9_frames
from pipeline.probe.frame_headers.bits import UnexpectedDataError
from pipeline.probe.frame_headers.placed_packets import are_placed, data_ranges
from pipeline.probe.streams.packets import EMPTY_ORDER, EMPTY_TABLE, Packets
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.sources import Readable

#: Codecs whose headers are read, by ffmpeg's names.
CODECS = frozenset({"vp9", "av1"}) | MPEG


def examine_headers(
    source: Readable,
    listed: StreamList,
    video: VideoStream,
    packets: Packets,
    units: StreamUnits | None = None,
) -> SameFrames:
    """What the headers of all frames prove; `units` are those of MPEG, if they could be read.

    Raises `MovieError` if the movie cannot be read.
    """
    if video.codec in MPEG:
        size = _size_of_mpeg(video.codec, units)
    else:
        size = _size(source, listed, video, packets)
    # A container that declares another size makes the filters compare the two.
    return SameFrames(has_one_shape=size == (video.width, video.height))


def _size_of_mpeg(codec: str, units: StreamUnits | None) -> tuple[int, int] | None:
    """Width and height of all frames, pixels; None if there may be others."""
    if units is None or units.kept is None:
        return None
    return size_of(codec, units.kept, units.configuration)


def _size(
    source: Readable, listed: StreamList, video: VideoStream, packets: Packets
) -> tuple[int, int] | None:
    """The same for VP9 and AV1, read from the file."""
    table = packets.video.get(video.index, EMPTY_TABLE)
    order = packets.order.get(video.index, EMPTY_ORDER)
    is_readable = video.codec in CODECS and video.index not in packets.encrypted
    if not is_readable or not are_placed(listed, table, order):
        return None
    with source.opened() as read:
        ranges = data_ranges(read, listed, table)
        try:
            if video.codec == "av1":
                return av1_frames.find_size(read, ranges, table.is_key.tolist())
            return vp9_frames.find_size(read, ranges)
        except UnexpectedDataError:
            return None
