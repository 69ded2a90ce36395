"""Reads the headers of all units of an H.264, HEVC or MPEG stream, straight from the file.

Only in files whose structure is beyond doubt: MP4, MOV and Matroska, every packet where the listing
says it is, sizes of units of four bytes. A few reads per frame replace reading the whole movie;
only MPEG, whose units do not say how long they are, is read whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.containers.parameter_sets import read_extradata
from pipeline.probe.disposable.examiners import CODECS, Examiner, examiner_of
from pipeline.probe.disposable.units import EncodedFrame, Kind
from pipeline.probe.frame_headers.bits import UnexpectedDataError
from pipeline.probe.frame_headers.placed_packets import Read, are_placed, data_ranges
from pipeline.probe.streams.packets import PacketOrder, PacketTable
from pipeline.probe.streams.stream_list import StreamList
from pipeline.probe.streams.video_stream import VideoStream
from pipeline.sources import Movie, Readable

#: With more bytes of parameter sets and supplemental information than this, they are not collected.
MAX_BYTES = 1 << 24
_UNREFERENCED, _PLAIN, _RESET = 1, 2, 4


@dataclass(frozen=True)
class StreamUnits:
    """The N frames of a stream by the headers of their units, in file order."""

    flags: NDArray[np.uint8]
    """(N,) bits of what is known about each frame."""
    layers: NDArray[np.uint8]
    """(N,) temporal layers."""
    kept: frozenset[bytes] | None
    """The different parameter sets and messages (SEI) in the packets, without zeros at their end;
    of MPEG, headers of sequences and layers, and user data. None if there are too many."""
    configuration: bytes
    """The decoder configuration of the container."""

    @property
    def is_unreferenced(self) -> NDArray[np.bool_]:
        """(N,) whether no frame of the same layer refers to it."""
        return self.flags & _UNREFERENCED > 0

    @property
    def is_plain(self) -> NDArray[np.bool_]:
        """(N,) whether the packet holds a frame alone, and what has no effect on others."""
        return self.flags & _PLAIN > 0

    @property
    def is_reset(self) -> NDArray[np.bool_]:
        """(N,) whether it is an IDR frame: no later frame refers to one before it."""
        return self.flags & _RESET > 0


def read_units(
    movie: Movie,
    source: Readable,
    listed: StreamList,
    video: VideoStream,
    packets: PacketTable,
    order: PacketOrder,
) -> StreamUnits | None:
    """The units of a video stream; None if there is any doubt about where they are.

    `packets` are all that are presented, `order` those of a sequential read. Raises `MovieError` if
    the movie cannot be read.
    """
    if video.codec not in CODECS or not are_placed(listed, packets, order):
        return None
    configuration = read_extradata(source, listed.options, video.index, movie.name)
    examine = examiner_of(video.codec, configuration)
    if examine is None:
        return None
    with source.opened() as read:
        try:
            return _read(examine, read, data_ranges(read, listed, packets), configuration)
        except UnexpectedDataError:
            return None


def _read(
    examine: Examiner, read: Read, ranges: Iterable[tuple[int, int]], configuration: bytes
) -> StreamUnits | None:
    flags, layers = bytearray(), bytearray()
    kept: set[bytes] | None = set()
    num_bytes = 0
    for start, end in ranges:
        frame = examine(read, start, end - start)
        if frame.kind is Kind.UNREADABLE:
            return None
        flags.append(_flags_of(frame))
        layers.append(frame.layer)
        num_bytes += sum(last - first for first, last in frame.kept)
        if num_bytes > MAX_BYTES:
            kept = None
        elif kept is not None:
            kept |= {read(first, last).rstrip(b"\0") for first, last in frame.kept}
    return StreamUnits(
        np.frombuffer(bytes(flags), np.uint8),
        np.frombuffer(bytes(layers), np.uint8),
        None if kept is None else frozenset(kept),
        configuration,
    )


def _flags_of(frame: EncodedFrame) -> int:
    return (
        _UNREFERENCED * (frame.kind is Kind.UNREFERENCED)
        | _PLAIN * frame.is_plain
        | _RESET * frame.is_reset
    )
