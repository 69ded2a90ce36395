"""Parts that follow in the same file and that ffmpeg cannot decode together with the first one.

Recordings that were concatenated byte by byte. In Ogg this is legal ("chained"), but ffmpeg stops
after the first part of a file with audio and video, and so it does in MP4, FLV and ASF. In Matroska
it continues with the packets of the next part, but ignores its headers, so that packets of other
streams or with another decoder configuration are decoded with those of the first part.

    file    [ headers | packets ][ headers | packets ][ headers | packets ]
            the movie            first_position: from here on, lost
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np

from pipeline.probe.streams.first_look import MAX_OUTPUT_BYTES, PacketCount, listing
from pipeline.probe.streams.packets import Packets, PacketTable
from pipeline.probe.streams.stream_list import StreamList
from pipeline.sources import Movie, Readable
from shards_spec.recipe import NANOSECONDS

#: How much is searched for the start of another part: an index may precede it.
_SEARCH_BYTES = 1 << 24
#: What a file starts with, by the first of ffmpeg's names of the demuxer.
_STARTS = {
    # The first page of a stream: version 0, flag 2 ("beginning of stream"), time 0.
    "ogg": re.compile(rb"OggS\x00\x02" + bytes(8)),
    "mov": re.compile(rb"\x00\x00\x00[\x08-\xff]ftyp[ -~]{4}"),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
}
_FLV_START = re.compile(rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09" + bytes(4))
_FLV_TICK = Fraction(1, 1000)
#: Identifier of the header that every Matroska file starts with.
_EBML = b"\x1a\x45\xdf\xa3"
#: A hostile file may have a part every few bytes.
MAX_PARTS = 100
#: What parts have in common if they can be decoded together.
_COMMON = "codec_name,width,height,pix_fmt,time_base,sample_rate,channels,extradata_size"
_ENTRIES = f"stream=index,{_COMMON}"


@dataclass(frozen=True)
class FollowingParts:
    """Parts after the first one that are lost."""

    first_position: int | None = None
    """Packets from here on in the list of packets are not part of the movie; None if all are."""
    lost_beyond_ns: int = 0
    """Video in parts that are not in the list of packets at all."""

    def packets_of_movie(self, packets: PacketTable) -> PacketTable:
        """The packets before these parts."""
        if self.first_position is None:
            return packets
        return packets.where(packets.position < self.first_position)

    def lost_in_list_ns(self, packets: PacketTable, time_base: Fraction) -> int:
        """Video in those packets of a stream that are not part of the movie."""
        if self.first_position is None:
            return 0
        lost = packets.where(packets.position >= self.first_position)
        steps = np.diff(np.sort(packets.pts))
        usual = float(np.median(steps[steps > 0])) if np.any(steps > 0) else 0.0
        return round(len(lost) * usual * float(time_base) * NANOSECONDS)


def find_following_parts(
    movie: Movie, source: Readable, listed: StreamList, packets: Packets
) -> FollowingParts:
    """Find the parts of a file that are lost.

    Raises `MovieError` if the source cannot be read.
    """
    if listed.container == "flv":
        return FollowingParts(lost_beyond_ns=_lost_in_flv_ns(movie, source, packets))
    start = _STARTS.get(listed.container.partition(",")[0])
    if start:
        return FollowingParts(lost_beyond_ns=_lost_beyond_ns(movie, source, packets, start))
    if not packets.gaps:
        return FollowingParts()
    first = _streams(movie, source, 0)
    for position in islice(_matroska_parts(source, packets.gaps), MAX_PARTS):
        if _streams(movie, source, position) != first:
            return FollowingParts(first_position=position)
    return FollowingParts()


def _lost_beyond_ns(
    movie: Movie, source: Readable, packets: Packets, start_of_part: re.Pattern[bytes]
) -> int:
    """Video in parts after the last packet that ffmpeg lists."""
    lost_ns, end = 0, packets.last_position
    for _ in range(MAX_PARTS):
        match = start_of_part.search(source.read(end + 1, end + _SEARCH_BYTES))
        if not match:
            break
        start = end + 1 + match.start()
        length_ns, last_position = _part(movie, source, start)
        lost_ns, end = lost_ns + length_ns, max(start, last_position)
    return lost_ns


def _lost_in_flv_ns(movie: Movie, source: Readable, packets: Packets) -> int:
    """The same for FLV, in which ffmpeg cannot begin in the middle: estimated from the bytes."""
    end = packets.last_position + 1
    match = _FLV_START.search(source.read(end, end + _SEARCH_BYTES))
    spans = [int(np.ptp(table.pts)) for table in packets.video.values() if len(table)]
    if not match or not spans:
        return 0
    start = end + match.start()
    share = Fraction(movie.num_bytes - start, start)
    return round(share * max(spans) * _FLV_TICK * NANOSECONDS)


def _part(movie: Movie, source: Readable, start: int) -> tuple[int, int]:
    """(nanoseconds of video, position of the last packet) of the part that starts at a position.

    Both are 0 for one that cannot be read.
    """
    options = ("-v", "error", "-skip_initial_bytes", str(start))
    shown = ("-show_entries", "packet=codec_type,stream_index,pts_time,pos", "-of", "csv=p=0")
    times: dict[bytes, list[float]] = {}
    last_position, count = 0, PacketCount(movie, source)
    with listing(movie, source, (*options, *shown)) as process:
        for line in process.lines():
            count.add(line.startswith(b"video"))
            kind, stream, time, position, *_ = [*line.split(b","), b"", b"", b""]
            if position.isdigit():
                last_position = max(last_position, int(position))
            if kind == b"video" and time not in (b"", b"N/A"):
                times.setdefault(stream, []).append(float(time))
        process.finish(tolerate_errors=True)
    seconds = max(map(_length, times.values()), default=0.0)
    return round(seconds * NANOSECONDS), last_position


def _length(times: Sequence[float]) -> float:
    """From the first frame to the end of the last one, if that is as long as usual."""
    ascending = np.sort(times)
    steps = np.diff(ascending)
    usual = float(np.median(steps)) if len(steps) else 0.0
    return float(ascending[-1] - ascending[0]) + usual


def _matroska_parts(source: Readable, gaps: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Positions of headers in the gaps between packets."""
    for start, end in gaps:
        found = source.read(start, min(end, start + _SEARCH_BYTES)).find(_EBML)
        if found >= 0:
            yield start + found


def _streams(movie: Movie, source: Readable, position: int) -> list[dict[str, Any]]:
    """What the headers of the part at a position say that a decoder needs; empty if unreadable."""
    options = ("-v", "error", "-skip_initial_bytes", str(position), "-show_data_hash", "CRC32")
    shown = ("-show_entries", f"{_ENTRIES},extradata_hash", "-of", "json")
    with listing(movie, source, (*options, *shown)) as process:
        text = process.read_some(MAX_OUTPUT_BYTES)
        if len(text) < MAX_OUTPUT_BYTES:
            process.finish(tolerate_errors=True)
    try:
        found: list[dict[str, Any]] = json.loads(text).get("streams", [])
    except ValueError:
        return []
    return found
