"""What the headers of an MPEG-4 part 2 picture say about references.

No picture refers to a B picture. A decoder that never sees one shows all others as before, if each
packet holds one picture. Some old encoders put two into one packet and an empty one into the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.probe.disposable.start_codes import CODE_BYTES, PREFIX, units_in
from pipeline.probe.disposable.units import UNREADABLE, EncodedFrame, Kind
from pipeline.probe.frame_headers.bits import Bits, UnexpectedDataError, require
from pipeline.probe.frame_headers.placed_packets import Read

CODEC = "mpeg4"

_USER_DATA, _LAYERS = 0xB2, range(0x20, 0x30)
#: The units of headers, a letter each: sequence, object, its number, layer, user data, time.
_LETTERS = {
    **dict.fromkeys(range(0x20), "o"),
    **dict.fromkeys(_LAYERS, "L"),
    **{0xB0: "S", 0xB5: "O", _USER_DATA: "U", 0xB3: "T"},
}
#: How they follow each other, up to the picture.
_HEADERS = re.compile("[SOoLU]*(TU*)?")
_PICTURE = b"\0\0\1\xb6"
#: What must not come in it: anything but the end of a sequence.
_OTHERS = re.compile(rb"\x00\x00\x01(?:[^\xb1]|$)")
#: Types of pictures. The only other one uses sprites.
_REFERENCED, _B = (0, 1), 2
#: User data of encoders that put two pictures into one packet.
_PACKED = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:Build|b)\d+p")
_EXTENDED_ASPECT = 15
_RECTANGLE = 0
#: Bytes of a picture in which its type and time are.
_MAX_BYTES = 64


@dataclass(frozen=True)
class Mpeg4Layer:
    """What a layer says about all of its pictures, as far as it matters here."""

    size: tuple[int, int]
    """Width and height, pixels."""
    time_bits: int
    """Bits of a picture's time."""
    is_safe: bool
    """Whether a decoder shows the other frames as before if it misses B pictures."""


def examine_picture(time_bits: int, read: Read, start: int, size: int) -> EncodedFrame:
    """Examine the encoded picture at bytes [start, start + size) of the movie.

    `time_bits` is how many bits the time of a picture has, as its layer says.
    """
    data = read(start, start + size)
    first = data.find(_PICTURE)
    if len(data) < size or first < 0 or _OTHERS.search(data, first + CODE_BYTES):
        return UNREADABLE
    units = units_in(data[:first])
    letters = "".join(_LETTERS.get(unit.code, "?") for unit in units)
    if not _HEADERS.fullmatch(letters) or not data.startswith(PREFIX):
        return UNREADABLE
    try:
        kind = _type_of(Bits(data[first + CODE_BYTES :][:_MAX_BYTES]), time_bits)
    except UnexpectedDataError:
        return UNREADABLE
    headers = [unit for unit in units if unit.code in _LAYERS or unit.code == _USER_DATA]
    kept = tuple((start + unit.start, start + unit.end) for unit in headers)
    if kind in _REFERENCED:
        return EncodedFrame(Kind.REFERENCED, kept=kept)
    if kind != _B:
        return UNREADABLE
    found = Kind.REFERENCED if units else Kind.UNREFERENCED
    return EncodedFrame(found, layer=1, is_plain=not units, kept=kept)


def layers_in(headers: Iterable[bytes]) -> set[bytes]:
    """The different layers in headers, without zeros at their end."""
    return {
        data[unit.start : unit.end].rstrip(b"\0")
        for data in headers
        for unit in units_in(data)
        if unit.code in _LAYERS
    }


def is_packed(headers: bytes) -> bool:
    """Whether headers name an encoder that puts two pictures into one packet."""
    return _PACKED.search(headers) is not None


def parse_layer(header: bytes) -> Mpeg4Layer | None:
    """Parse a layer; None if it is not one of rectangular pictures without sprites."""
    try:
        return _parse(Bits(header[CODE_BYTES:]))
    except UnexpectedDataError:
        return None


def _type_of(bits: Bits, time_bits: int) -> int:
    """The type of a picture. Raises `UnexpectedDataError` if it is empty or not of its layer."""
    kind = bits.take(2)
    # Seconds since the picture before, and a fraction.
    while bits.flag():
        pass
    require(bits.flag())
    bits.take(time_bits)
    require(bits.flag())
    require(bits.flag())
    return kind


def _parse(bits: Bits) -> Mpeg4Layer:
    # Whether each picture is an entry, the kind of object.
    bits.take(1 + 8)
    version = bits.take(4 + 3) >> 3 if bits.flag() else 1
    if bits.take(4) == _EXTENDED_ASPECT:
        bits.take(8 + 8)
    is_reordered = False
    if bits.flag():
        # Without it decoders have to guess.
        bits.take(2)
        is_reordered = not bits.flag()
        if bits.flag():
            # Rates and sizes of the decoder's buffer.
            bits.take(79)
    require(bits.take(2) == _RECTANGLE)
    require(bits.flag())
    resolution = bits.take(16)
    require(resolution > 0 and bits.flag())
    time_bits = max(1, (resolution - 1).bit_length())
    if bits.flag():
        bits.take(time_bits)
    size = []
    for _ in range(2):
        require(bits.flag())
        size.append(bits.take(13))
    require(bits.flag())
    is_interlaced, _ = bits.flag(), bits.flag()
    require(bits.take(1 if version == 1 else 2) == 0)
    return Mpeg4Layer((size[0], size[1]), time_bits, is_reordered and not is_interlaced)
