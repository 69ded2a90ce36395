"""Finds the frames of a movie to which no other frame refers: its disposable frames.

Only in files whose structure is beyond doubt: MP4, MOV and Matroska with progressive H.264 or HEVC,
one decoder configuration, unique presentation times, and no packet that is unlike what the file
says about it. In any other there are none, and movies with a damaged structure are decoded whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.containers.parameter_sets import read_extradata
from pipeline.probe.containers.set_units import sets_of_configuration
from pipeline.probe.disposable.h264_sequence import parse_h264_sequence
from pipeline.probe.disposable.units import CODECS, EncodedFrame, Kind, Read, examine
from pipeline.probe.streams.packets import PacketOrder, PacketTable
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.sources import Movie, Readable

#: ffmpeg's names of the demuxers, as they begin.
_MP4, _MATROSKA = "mov,", "matroska,"
#: If none of so many frames at the start is disposable, the encoder makes no such frames.
NUM_TRIED = 1000
#: With fewer frames there is nothing to gain.
MIN_FRAMES = 2
_SEQUENCE = {"h264": 7, "hevc": 33}
#: Bits of a Matroska block's flags that say that several frames share it.
_LACING = 6
_BLOCK_HEAD = 12


@dataclass(frozen=True)
class DisposableFrames:
    """When the disposable frames of a movie are presented. A million are a few kilobytes."""

    deltas: bytes
    """(N,) int64 differences of sorted presentation times, ticks, compressed."""

    @staticmethod
    def of(pts: NDArray[np.int64]) -> DisposableFrames:
        """`pts` (N,) presentation times, ticks, in any order."""
        return DisposableFrames(zlib.compress(np.diff(np.sort(pts), prepend=0).tobytes()))

    def pts(self) -> NDArray[np.int64]:
        """(N,) presentation times, ticks, sorted."""
        return np.cumsum(np.frombuffer(zlib.decompress(self.deltas), np.int64))


NONE_DISPOSABLE = DisposableFrames.of(np.empty(0, np.int64))


def find_disposable(
    movie: Movie,
    source: Readable,
    listed: StreamList,
    video: VideoStream,
    packets: PacketTable,
    order: PacketOrder,
) -> DisposableFrames:
    """The disposable frames of a video stream; none if there is any doubt.

    Reads the headers of all its frames. `packets` are all that are presented, `order` those of a
    sequential read. Raises `MovieError` if the movie cannot be read.
    """
    if not _is_usual(listed, video, packets, order):
        return NONE_DISPOSABLE
    with source.opened() as read:
        frames = _examined(listed.container, video.codec, read, packets)
        if frames is None or not _has_one_sequence(movie, source, listed, video, frames, read):
            return NONE_DISPOSABLE
    top = max(frame.layer for frame in frames)
    is_disposable = [
        frame.kind is Kind.UNREFERENCED and frame.layer == top for frame in frames
    ] & ~packets.is_key
    return DisposableFrames.of(packets.pts[is_disposable])


def _is_usual(
    listed: StreamList, video: VideoStream, packets: PacketTable, order: PacketOrder
) -> bool:
    times = order.pts()
    is_whole = order.num_configured == len(times) == len(packets)
    is_unique = len(np.unique(times)) == len(times)
    is_timed = bool(packets.has_pts.all() and not packets.is_corrupt.any())
    is_placed = bool((packets.position >= 0).all() and (packets.size > 0).all())
    return (
        listed.container.startswith((_MP4, _MATROSKA))
        and not listed.options
        and video.codec in CODECS
        and not video.is_interlaced
        and not video.has_unmarked_fields
        and len(packets) >= MIN_FRAMES
        and is_whole
        and is_unique
        and is_timed
        and is_placed
    )


def _examined(
    container: str, codec: str, read: Read, packets: PacketTable
) -> list[EncodedFrame] | None:
    """All frames in file order; None if one is unreadable or there is nothing to gain."""
    is_block = container.startswith(_MATROSKA)
    frames: list[EncodedFrame] = []
    has_any = False
    for position, size in zip(packets.position.tolist(), packets.size.tolist(), strict=True):
        start = _after_block_head(read, position) if is_block else position
        frame = examine(codec, read, start, size) if start >= 0 else None
        if frame is None or frame.kind is Kind.UNREADABLE:
            return None
        has_any |= frame.kind is Kind.UNREFERENCED
        frames.append(frame)
        if len(frames) >= NUM_TRIED and not has_any:
            return None
    return frames if has_any else None


def _after_block_head(read: Read, position: int) -> int:
    """Where the frame of a Matroska block begins; -1 if several share the block."""
    head = read(position, position + _BLOCK_HEAD)
    # The number of the track takes as many bytes as its first one says.
    length = 9 - head[0].bit_length() if head else _BLOCK_HEAD
    flags = head[length + 2 : length + 3]
    return position + length + 3 if flags and not flags[0] & _LACING else -1


def _has_one_sequence(
    movie: Movie,
    source: Readable,
    listed: StreamList,
    video: VideoStream,
    frames: Sequence[EncodedFrame],
    read: Read,
) -> bool:
    """Whether one sequence parameter set applies to all frames, and leaving some out is safe."""
    configuration = read_extradata(source, listed.options, video.index, movie.name)
    # Sizes of units may be shorter; see `SIZE_BYTES`.
    place = 4 if video.codec == "h264" else 21
    if len(configuration) <= place or configuration[0] != 1 or configuration[place] & 3 != 3:
        return False
    sets = sets_of_configuration(video.codec, configuration)
    sequences = {unit for (kind, _), unit in sets.items() if kind == _SEQUENCE[video.codec]}
    sequences |= set(_sequences_in(frames, read))
    if len(sequences) != 1:
        return False
    if video.codec == "hevc":
        return True
    parsed = parse_h264_sequence(sequences.pop())
    return parsed is not None and parsed.is_safe


def _sequences_in(frames: Sequence[EncodedFrame], read: Read) -> Iterator[bytes]:
    for frame in frames:
        for start, end in frame.sequences:
            yield read(start, end)
