"""Timestamps of all packets of a movie, read by one ffprobe without decoding.

Headers are often wrong about durations. Only packets show where the video starts, at which
keyframes it can be entered, and whether the frame rate varies.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.first_look import PacketCount, listing
from pipeline.probe.stream_list import InputOptions, as_arguments
from pipeline.sources import Movie, Readable

_ENTRIES = "packet=codec_type,stream_index,pts,dts,duration,flags:packet_side_data=side_data_type"
#: What a demuxer attaches to a packet from which on another decoder configuration is in force.
_CONFIGURATION = (b"New Extradata", b"Param Change")


@dataclass(frozen=True)
class PacketTable:
    """The N presented packets of a video stream that have a timestamp, in file order.

    Times are ticks of the stream's time base.
    """

    pts: NDArray[np.int64]
    """(N,); the dts if there is no pts."""
    dts: NDArray[np.int64]
    """(N,); the pts if there is no dts."""
    duration: NDArray[np.int64]
    """(N,); 0 if unknown."""
    is_key: NDArray[np.bool_]
    has_pts: NDArray[np.bool_]
    has_dts: NDArray[np.bool_]
    is_corrupt: NDArray[np.bool_]
    """(N,) whether the container reports the packet as corrupt."""

    def __len__(self) -> int:
        return len(self.pts)

    def where(self, kept: NDArray[np.bool_]) -> PacketTable:
        """The packets of which `kept` (N,) is true."""
        if kept.all():
            return self
        return PacketTable(*(getattr(self, column.name)[kept] for column in fields(self)))


@dataclass(frozen=True)
class PacketOrder:
    """The N video packets with a presentation time in the order of a sequential read.

    A run of the decoder that starts in the middle must see the same. Also contains packets that are
    never shown. A million packets are a few kilobytes.
    """

    deltas: bytes
    """(N,) int64 differences of presentation times, ticks, compressed."""
    num_configured: int
    """Packets before the first one that changes the decoder configuration; N if none does."""

    @staticmethod
    def of(pts: Sequence[int], num_configured: int) -> PacketOrder:
        """The order of packets with these presentation times, ticks."""
        deltas = np.diff(np.array(pts, np.int64), prepend=0)
        return PacketOrder(zlib.compress(deltas.tobytes()), num_configured)

    def pts(self) -> NDArray[np.int64]:
        """(N,) presentation times, ticks."""
        return np.cumsum(np.frombuffer(zlib.decompress(self.deltas), np.int64))

    def is_configured_at(self, keyframes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(K,) whether keyframes, times in ticks, precede any change of the configuration."""
        return np.isin(keyframes, self.pts()[: self.num_configured])


EMPTY_ORDER = PacketOrder.of((), 0)


@dataclass
class AudioPackets:
    """What is needed to know of the packets of an audio stream; ticks of its time base."""

    num_packets: int = 0
    first_pts: int | None = None
    """Earliest time of a packet; None if no packet has one."""
    last_pts: int | None = None


@dataclass(frozen=True)
class Packets:
    """The packets of all streams, by stream index."""

    video: dict[int, PacketTable] = field(default_factory=dict)
    audio: dict[int, AudioPackets] = field(default_factory=dict)
    order: dict[int, PacketOrder] = field(default_factory=dict)


def _table(values: array[int]) -> PacketTable:
    columns = np.frombuffer(values, dtype=np.int64).reshape(-1, 4).T
    flags = [(columns[3] >> bit & 1).astype(bool) for bit in range(4)]
    return PacketTable(columns[0], columns[1], columns[2], *flags)


EMPTY_TABLE = _table(array("q"))


def read_packets(movie: Movie, source: Readable, options: InputOptions) -> Packets:
    """List the packets of all video and audio streams of a movie.

    Raises `MediaError` if ffprobe fails or is stopped.
    """
    arguments = ("-v", "error", *as_arguments(options), "-show_entries", _ENTRIES, "-of", "csv=p=0")
    # A long movie has a million packets: flat arrays of integers keep them small.
    rows: dict[int, array[int]] = {}
    count = PacketCount(movie, source)
    audio: dict[int, AudioPackets] = {}
    orders: dict[int, _Order] = {}
    with listing(movie, source, arguments) as process:
        for line in process.lines():
            words = line.split(b",")
            count.add(words[0] == b"video")
            if len(words) < 6:
                continue
            if words[0] == b"video":
                rows.setdefault(int(words[1]), array("q")).extend(_row(words))
                orders.setdefault(int(words[1]), _Order()).add(words)
            elif words[0] == b"audio":
                _count(audio.setdefault(int(words[1]), AudioPackets()), words)
        process.finish()
    return Packets(
        {stream: _table(values) for stream, values in rows.items()},
        audio,
        {stream: order.finish() for stream, order in orders.items()},
    )


class _Order:
    """Collects a `PacketOrder`."""

    def __init__(self) -> None:
        self._pts = array("q")
        self._num_configured: int | None = None

    def add(self, words: list[bytes]) -> None:
        is_change = any(word in _CONFIGURATION for word in words[6:])
        # The first packet may bring the configuration that its stream has from the start.
        if is_change and self._pts and self._num_configured is None:
            self._num_configured = len(self._pts)
        if words[2] != b"N/A":
            self._pts.append(int(words[2]))

    def finish(self) -> PacketOrder:
        if self._num_configured is None:
            self._num_configured = len(self._pts)
        return PacketOrder.of(self._pts, self._num_configured)


def _row(words: list[bytes]) -> tuple[int, ...]:
    """A packet's times, and its flags as bits; nothing if it is not shown or has no timestamp."""
    _, _, pts, dts, duration, flags = words[:6]
    has_pts, has_dts = pts != b"N/A", dts != b"N/A"
    # `D` marks packets before the start of an edit list: decoded, never shown.
    if b"D" in flags or not (has_pts or has_dts):
        return ()
    return (
        int(pts if has_pts else dts),
        int(dts if has_dts else pts),
        0 if duration == b"N/A" else int(duration),
        (b"K" in flags) | has_pts << 1 | has_dts << 2 | (b"C" in flags) << 3,
    )


def _count(packets: AudioPackets, words: list[bytes]) -> None:
    packets.num_packets += 1
    time = words[2] if words[2] != b"N/A" else words[3]
    if time == b"N/A" or b"D" in words[5]:
        return
    pts = int(time)
    packets.first_pts = pts if packets.first_pts is None else min(packets.first_pts, pts)
    packets.last_pts = pts if packets.last_pts is None else max(packets.last_pts, pts)
