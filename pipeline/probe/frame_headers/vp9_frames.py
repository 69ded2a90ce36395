"""The size that all frames of a VP9 stream have, if their headers prove that there is one.

Each frame states its size, or has that of an earlier one to which it refers. So if all sizes that
are stated are the same, every frame has that size. Pixel aspect and orientation are the
container's: decoders ignore the size for display that a header may bring.

A packet may hold several frames, some of which are never shown. Then an index at its end says how
long they are. Packets are split, and headers read, as ffmpeg's decoder does it; whatever is unusual
is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipeline.probe.frame_headers.bits import Bits, require
from pipeline.probe.frame_headers.placed_packets import Read

#: Bytes at the start of a frame that suffice for its size.
HEAD_BYTES = 12
#: The longest index: a marker, four bytes for each of eight frames, the marker again.
MAX_INDEX_BYTES = 34
#: An ordinary stream has about three different headers; with more than these, nothing is proved.
MAX_HEADERS = 8
_FRAME_MARKER = 2
_SYNC_CODE = 0x498342
_RGB = 7


class _Header(NamedTuple):
    """The part of a frame's header that concerns its size and pixels."""

    profile: int
    size: tuple[int, int] | None = None
    """Width and height, pixels; None if it is that of a frame to which this one refers."""
    pixels: tuple[int, int] | None = None
    """Bits per sample, coded, and which planes are smaller; None likewise."""


#: By profile: a frame that states nothing.
_REFERRING = [_Header(profile) for profile in range(4)]
#: Of all frames of profile 0: 8 bits, 4:2:0.
_USUAL_PIXELS = (0, 3)


def find_size(read: Read, ranges: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """The width and height of all frames, pixels; None if there may be others.

    `ranges` are the (start, end) of all packets in the file. Raises `UnexpectedDataError` if a
    header is not as it must be.
    """
    headers: set[_Header] = set()
    for start, end in ranges:
        for first, last in _frames(read, start, end):
            headers.add(_parse(read(first, min(first + HEAD_BYTES, last))))
        require(len(headers) <= MAX_HEADERS)
    sizes = {header.size for header in headers if header.size}
    pixels = {header.pixels for header in headers if header.pixels}
    profiles = {header.profile for header in headers}
    return sizes.pop() if len(sizes) == len(pixels) == len(profiles) == 1 else None


def _frames(read: Read, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(start, end) in the file of each frame of a packet."""
    tail = read(max(start, end - MAX_INDEX_BYTES), end)
    require(len(tail) == min(end - start, MAX_INDEX_BYTES))
    marker = tail[-1]
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = tail[-2 - count * width :]
    if marker >> 5 != 6 or len(index) < 2 + count * width or index[0] != marker:
        yield start, end
        return
    for at in range(1, 1 + count * width, width):
        size = int.from_bytes(index[at : at + width], "little")
        require(size > 0)
        yield start, start + size
        start += size
    require(start == end - len(index))


def _parse(data: bytes) -> _Header:
    bits = Bits(data)
    require(bits.take(2) == _FRAME_MARKER)
    profile = bits.take(1) | bits.take(1) << 1
    require(profile < 3 or not bits.flag())
    if bits.flag():
        # An earlier frame is shown.
        bits.take(3)
        return _REFERRING[profile]
    is_key, is_shown, is_resilient = not bits.flag(), bits.flag(), bits.flag()
    if is_key:
        return _Header(profile, pixels=_pixels(bits, profile), size=_size(bits))
    is_intra_only = not is_shown and bits.flag()
    if not is_resilient:
        bits.take(2)
    if is_intra_only:
        return _intra_only(bits, profile)
    # Which frames it replaces, then three to which it refers: a number and a direction each.
    bits.take(8 + 3 * 4)
    if bits.flag() or bits.flag() or bits.flag():
        return _REFERRING[profile]
    return _Header(profile, size=_size(bits))


def _intra_only(bits: Bits, profile: int) -> _Header:
    if profile:
        pixels = _pixels(bits, profile)
    else:
        require(bits.take(24) == _SYNC_CODE)
        pixels = _USUAL_PIXELS
    bits.take(8)
    return _Header(profile, pixels=pixels, size=_size(bits))


def _pixels(bits: Bits, profile: int) -> tuple[int, int]:
    """The format of pixels, which follows a fixed code; see `_Header.pixels`."""
    require(bits.take(24) == _SYNC_CODE)
    depth = 1 + bits.take(1) if profile >= 2 else 0
    if bits.take(3) == _RGB:
        # Only of profiles with full color, and followed by a bit that must be 0.
        require(profile & 1 == 1 and not bits.flag())
        return depth, 0
    # The range of values: not a matter of the shape.
    bits.take(1)
    if not profile & 1:
        return depth, 3
    smaller = bits.take(2)
    require(smaller != 3 and not bits.flag())
    return depth, smaller


def _size(bits: Bits) -> tuple[int, int]:
    return bits.take(16) + 1, bits.take(16) + 1
