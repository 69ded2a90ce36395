"""Timestamps of all packets of a movie, read by one ffprobe without decoding.

Headers are often wrong about durations. Only packets show where the video starts, at which
keyframes it can be entered, and whether the frame rate varies.
"""

from __future__ import annotations

import itertools
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.streams.configurations import changes_of_configuration
from pipeline.probe.streams.first_look import PacketCount, listing
from pipeline.probe.streams.stream_list import InputOptions, as_arguments
from pipeline.sources import Movie, Readable

_ENTRIES = (
    "packet=codec_type,stream_index,pts,dts,duration,size,pos,flags:packet_side_data=side_data_type"
)
#: What a demuxer attaches to a packet from which another decoder configuration applies.
_CONFIGURATION = (b"New Extradata", b"Param Change")
#: What it attaches to a packet that is encrypted.
_ENCRYPTION = b"Encryption info"
#: Container in which further parts of a file are searched for between packets; gaps that are too
#: large to be packet headers, and how many of them are kept.
_WITH_GAPS = "matroska"
MIN_GAP_BYTES, MAX_GAPS = 100, 10_000


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
    position: NDArray[np.int64]
    """(N,) where the packet is in the file, bytes; -1 if unknown."""
    size: NDArray[np.int64]
    """(N,) bytes; 0 if unknown."""

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
    """What must be known about the packets of an audio stream; ticks of its time base."""

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
    encrypted: frozenset[int] = frozenset()
    """Video streams with a packet that is encrypted."""
    last_position: int = 0
    """Highest position of a packet in the file, bytes."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Byte ranges [start, end) of the file between packets; only those of Matroska."""


def _table(values: array[int]) -> PacketTable:
    columns = np.frombuffer(values, dtype=np.int64).reshape(-1, 6).T
    is_key, has_pts, has_dts, is_corrupt = (
        (columns[3] >> bit & 1).astype(bool) for bit in range(4)
    )
    pts, dts, duration, position, size = (columns[number] for number in (0, 1, 2, 4, 5))
    return PacketTable(pts, dts, duration, is_key, has_pts, has_dts, is_corrupt, position, size)


EMPTY_TABLE = _table(array("q"))


def read_packets(
    movie: Movie, source: Readable, options: InputOptions, container: str = ""
) -> Packets:
    """List the packets of all video and audio streams of a movie.

    `container` is ffmpeg's name of the demuxer. Raises `MovieError` if ffprobe fails or is stopped.
    """
    arguments = ("-v", "error", *as_arguments(options), "-show_entries", _ENTRIES, "-of", "csv=p=0")
    # A long movie has a million packets: flat arrays of integers keep them small.
    rows: dict[int, array[int]] = {}
    count = PacketCount(movie, source)
    audio: dict[int, AudioPackets] = {}
    orders: dict[int, _Order] = {}
    layout = _Layout(finds_gaps=container.startswith(_WITH_GAPS))
    with listing(movie, source, arguments) as process:
        for line in process.lines():
            words = line.split(b",")
            count.add(words[0] == b"video")
            if len(words) < 8:
                continue
            layout.add(words)
            if words[0] == b"video":
                rows.setdefault(int(words[1]), array("q")).extend(_row(words))
                orders.setdefault(int(words[1]), _Order()).add(words)
            elif words[0] == b"audio":
                _count(audio.setdefault(int(words[1]), AudioPackets()), words)
        process.finish()
    for stream, order in orders.items():
        if order.changes:
            differ = changes_of_configuration(movie, source, options, stream)
            order.keep_changes(differ)
    return Packets(
        {stream: _table(values) for stream, values in rows.items()},
        audio,
        {stream: order.finish() for stream, order in orders.items()},
        frozenset(stream for stream, order in orders.items() if order.is_encrypted),
        layout.last_position,
        tuple(layout.gaps),
    )


class _Order:
    """Collects a `PacketOrder`."""

    def __init__(self) -> None:
        self._pts = array("q")
        self.changes: list[int] = []
        """Numbers of packets before each one that brings a configuration; never 0."""
        self.is_encrypted = False

    def add(self, words: list[bytes]) -> None:
        self.is_encrypted |= len(words) > 8 and _ENCRYPTION in words
        # The first packet may bring the configuration that its stream has from the start.
        if len(words) > 8 and self._pts and any(word in _CONFIGURATION for word in words[8:]):
            self.changes.append(len(self._pts))
        if words[2] != b"N/A":
            self._pts.append(int(words[2]))

    def keep_changes(self, differ: Sequence[bool]) -> None:
        """Forget changes that bring what was there before; all are kept if the number is wrong."""
        if len(differ) == len(self.changes):
            self.changes = list(itertools.compress(self.changes, differ))

    def finish(self) -> PacketOrder:
        return PacketOrder.of(self._pts, self.changes[0] if self.changes else len(self._pts))


class _Layout:
    """Where packets are in the file: what is between them may be more than their headers."""

    def __init__(self, *, finds_gaps: bool) -> None:
        self.last_position = 0
        self.gaps: list[tuple[int, int]] = []
        self._finds_gaps = finds_gaps
        self._position = self._end = 0

    def add(self, words: list[bytes]) -> None:
        if not words[6].isdigit():
            return
        position = int(words[6])
        self.last_position = max(self.last_position, position)
        if not self._finds_gaps or len(self.gaps) >= MAX_GAPS or not words[5].isdigit():
            return
        # Several packets may share a block, which has one position.
        if position != self._position and self._end and position - self._end >= MIN_GAP_BYTES:
            self.gaps.append((self._end, position))
        begin = self._end if position == self._position else position
        self._position, self._end = position, max(self._end, begin + int(words[5]))


def _row(words: list[bytes]) -> tuple[int, ...]:
    """A packet's times, flags as bits, position and size; nothing if it is not shown or untimed."""
    _, _, pts, dts, duration, size, position, flags = words[:8]
    has_pts, has_dts = pts != b"N/A", dts != b"N/A"
    # `D` marks packets before the start of an edit list: decoded, never shown.
    if b"D" in flags or not (has_pts or has_dts):
        return ()
    return (
        int(pts if has_pts else dts),
        int(dts if has_dts else pts),
        0 if duration == b"N/A" else int(duration),
        (b"K" in flags) | has_pts << 1 | has_dts << 2 | (b"C" in flags) << 3,
        int(position) if position.isdigit() else -1,
        int(size) if size.isdigit() else 0,
    )


def _count(packets: AudioPackets, words: list[bytes]) -> None:
    packets.num_packets += 1
    time = words[2] if words[2] != b"N/A" else words[3]
    if time == b"N/A" or b"D" in words[7]:
        return
    pts = int(time)
    packets.first_pts = pts if packets.first_pts is None else min(packets.first_pts, pts)
    packets.last_pts = pts if packets.last_pts is None else max(packets.last_pts, pts)
