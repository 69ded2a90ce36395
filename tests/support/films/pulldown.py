"""Soft telecine (3:2 pulldown), as on DVDs: 24 frames per second, some of them flagged so that
one of their fields is shown again.

ffmpeg cannot encode this, so the bits are set here in a progressive MPEG-2 stream (ISO/IEC
13818-2, 6.2.2 and 6.2.3), and each frame gets its time from the fields that are shown before it.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

#: (top field first, repeat first field) of four frames in display order: 3, 2, 3, 2 fields.
PATTERN = ((True, True), (False, False), (False, True), (True, False))
FILM_FPS = Fraction(24000, 1001)

_CLOCK_HZ = 90_000
_FIELD_TICKS = Fraction(1001 * _CLOCK_HZ, 60_000)
_SEQUENCE, _EXTENSION, _GOP, _PICTURE = (b"\0\0\1" + bytes([code]) for code in (179, 181, 184, 0))
_RATE_30000_1001 = 4


def pull_down(stream: Path, path: Path) -> Path:
    """Mark a raw progressive MPEG-2 stream of 24000/1001 frames as film for 30000/1001.

    The suffix of `path` selects the container, in which each frame has its own time.
    """
    data, places = _mark(stream.read_bytes())
    marked = stream.with_suffix(".marked.m2v")
    marked.write_bytes(data)
    starts = [_first_field(place) * _FIELD_TICKS for place in range(len(places) + 1)]
    with av.open(str(marked)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        assert len(packets) == len(places)
        for coded, packet in enumerate(packets):
            packet.time_base = Fraction(1, _CLOCK_HZ)
            # Two frames later than decoded, when the frames that it refers to are available.
            packet.pts = _CLOCK_HZ + round(starts[places[coded]])
            packet.dts = _CLOCK_HZ + round(starts[coded] - 4 * _FIELD_TICKS)
            packet.duration = round(starts[places[coded] + 1] - starts[places[coded]])
            packet.stream = video
            target.mux(packet)
    return path


def shown_seconds(number: int) -> Fraction:
    """When a frame is displayed, relative to the first one."""
    return _first_field(number) * _FIELD_TICKS / _CLOCK_HZ


def _first_field(number: int) -> int:
    return number // 4 * 10 + (0, 3, 5, 8)[number % 4]


def _mark(data: bytes) -> tuple[bytes, list[int]]:
    """The stream with its bits set, and the display position of each frame in coding order."""
    marked = bytearray(data)
    places: list[int] = []
    before = 0
    at = data.find(b"\0\0\1")
    while at >= 0:
        code = data[at : at + 4]
        if code == _SEQUENCE:
            marked[at + 7] = data[at + 7] & 0xF0 | _RATE_30000_1001
        elif code == _GOP:
            before = len(places)
        elif code == _PICTURE:
            places.append(before + (data[at + 4] << 2 | data[at + 5] >> 6))
        elif code == _EXTENSION and data[at + 4] >> 4 == 1:
            # Not marked as a progressive sequence: that would repeat whole frames.
            marked[at + 5] &= ~0x08 & 0xFF
        elif code == _EXTENSION and data[at + 4] >> 4 == 8:
            top_first, repeats = PATTERN[places[-1] % 4]
            marked[at + 7] = data[at + 7] & 0x7D | top_first << 7 | repeats << 1
            assert data[at + 8] & 0x80, "not a progressive picture"
        at = data.find(b"\0\0\1", at + 3)
    assert sorted(places) == list(range(len(places)))
    return bytes(marked), places
