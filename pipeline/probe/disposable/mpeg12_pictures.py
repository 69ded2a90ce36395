"""What the headers of an MPEG-1 or MPEG-2 picture say about references.

No picture refers to a B picture. A decoder that never sees one shows all others as before, unless
its packet brings more: a matrix, for example, also applies to the pictures after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.probe.disposable.start_codes import Unit, units_in
from pipeline.probe.disposable.units import UNREADABLE, EncodedFrame, Kind
from pipeline.probe.frame_headers.bits import Bits, UnexpectedDataError, require
from pipeline.probe.frame_headers.placed_packets import Read

CODECS = frozenset({"mpeg1video", "mpeg2video"})

_SEQUENCE, _EXTENSION = 0xB3, 0xB5
#: The units of headers, a letter each: picture, user data, sequence, extension, group of pictures.
_LETTERS = {0x00: "P", 0xB2: "U", _SEQUENCE: "S", _EXTENSION: "E", 0xB8: "G"}
#: How they follow each other, up to the first slice.
_HEADERS = re.compile("(S[EU]*)?(GU*)?P[EU]*")
_SLICE = re.compile(rb"\x00\x00\x01[\x01-\xaf]")
#: What must not come after it: anything but slices and the end of a sequence.
_OTHERS = re.compile(rb"\x00\x00\x01(?:[^\x01-\xaf\xb7]|$)")
#: Types of pictures.
_REFERENCED, _B = (1, 2), 3
#: Numbers of extensions: of sequences, their display, pictures; of matrices, copyright, the part of
#: a picture that is shown on narrow screens.
_OF_SEQUENCE, _OF_DISPLAY, _OF_PICTURE = 1, 2, 8
_WITH_PICTURE = frozenset({3, 4, 7, _OF_PICTURE})
_WHOLE_FRAME = 3
#: User data from which on ffmpeg's decoder uses another matrix.
_CHANGES_MATRIX = b"\0TMPGEXS\0"
#: Bytes at the end of a sequence header that may be zero.
_MAX_ZEROS = 16


@dataclass(frozen=True)
class Mpeg12Sequence:
    """A sequence header with its extensions, as far as it matters here."""

    size: tuple[int, int]
    """Width and height, pixels."""
    is_safe: bool
    """Whether a decoder shows the other frames as before if it misses B pictures."""


def examine_picture(codec: str, read: Read, start: int, size: int) -> EncodedFrame:
    """Examine the encoded picture at bytes [start, start + size) of the movie."""
    data = read(start, start + size)
    slices = _SLICE.search(data)
    if len(data) < size or not slices or _OTHERS.search(data, slices.start()):
        return UNREADABLE
    units = units_in(data[: slices.start()])
    letters = "".join(_LETTERS.get(unit.code, "?") for unit in units)
    if not _HEADERS.fullmatch(letters) or units[0].start:
        return UNREADABLE
    first = letters.index("P")
    try:
        extensions = _extensions(units[first:])
        _require_whole_frame(codec, extensions)
        kind = _type_of(units[first])
    except UnexpectedDataError:
        return UNREADABLE
    kept = ((start, start + _sequence_end(units)),) if letters[0] == "S" else ()
    if kind in _REFERENCED:
        return EncodedFrame(Kind.REFERENCED, kept=kept)
    if kind != _B:
        return UNREADABLE
    # User data are captions and the like.
    is_alone = first == 0 and extensions.keys() <= {_OF_PICTURE}
    is_alone = is_alone and not any(_CHANGES_MATRIX in unit.content for unit in units)
    found = Kind.UNREFERENCED if is_alone else Kind.REFERENCED
    return EncodedFrame(found, layer=1, is_plain=is_alone, kept=kept)


def sequence_in(configuration: bytes) -> bytes:
    """The sequence header in a decoder configuration, with its extensions; empty if none is."""
    units = units_in(configuration)
    first = next((number for number, unit in enumerate(units) if unit.code == _SEQUENCE), None)
    if first is None:
        return b""
    return configuration[units[first].start : _sequence_end(units[first:])]


def parse_sequence(codec: str, header: bytes) -> Mpeg12Sequence | None:
    """Parse a sequence header, which may lack zeros at its end; None if it is not one."""
    units = units_in(header + bytes(_MAX_ZEROS))
    try:
        bits, extensions = Bits(units[0].content if units else b""), _extensions(units)
        width, height = bits.take(12), bits.take(12)
        if codec == "mpeg1video":
            return Mpeg12Sequence((width, height), is_safe=len(units) == 1)
        more = extensions.get(_OF_SEQUENCE, Bits(b""))
        # Profile, whether frames are progressive, sampling of colors.
        more.take(8 + 1 + 2)
        width, height = more.take(2) << 12 | width, more.take(2) << 12 | height
        # Rate, buffer.
        more.take(12 + 1 + 8)
        has_low_delay = more.flag()
    except UnexpectedDataError:
        return None
    is_one_layer = extensions.keys() <= {_OF_SEQUENCE, _OF_DISPLAY}
    return Mpeg12Sequence((width, height), is_one_layer and not has_low_delay)


def _type_of(picture: Unit) -> int:
    bits = Bits(picture.content)
    # Its number in the group of pictures.
    bits.take(10)
    return bits.take(3)


def _require_whole_frame(codec: str, extensions: dict[int, Bits]) -> None:
    if codec == "mpeg1video":
        require(not extensions)
        return
    bits = extensions.get(_OF_PICTURE, Bits(b""))
    # Ranges of motion vectors, precision.
    bits.take(16 + 2)
    require(bits.take(2) == _WHOLE_FRAME and extensions.keys() <= _WITH_PICTURE)


def _extensions(units: Sequence[Unit]) -> dict[int, Bits]:
    """The extensions by their numbers, which must differ."""
    found = [Bits(unit.content) for unit in units if unit.code == _EXTENSION]
    extensions = {bits.take(4): bits for bits in found}
    require(len(extensions) == len(found))
    return extensions


def _sequence_end(units: Sequence[Unit]) -> int:
    """Where the sequence header that comes first ends in the data, with its extensions."""
    end = units[0].end
    for unit in units[1:]:
        if unit.code != _EXTENSION:
            break
        end = unit.end
    return end
