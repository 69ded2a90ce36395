"""What the units of an encoded frame say about references, by their headers alone.

A frame of H.264 or HEVC is a sequence of units. Those of the picture (slices) say whether later
frames may refer to it; a decoder that never sees a frame to which none refers shows all others as
before. Whatever is unusual counts as referred to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

#: Each unit is preceded by its size; files with shorter ones are rare and not examined.
SIZE_BYTES = 4
#: Bytes of a unit that are examined.
HEAD_BYTES = 2
#: Units of a frame: slices, and what precedes them. Files with more are not examined.
MAX_UNITS = 64

#: H.264: slices of frames other than IDR, and what has no effect on other frames: supplemental
#: information, delimiters, filler.
_H264_SLICE, _H264_IDR = 1, 5
_H264_OTHERS = frozenset({6, 9, 12})
_H264_SEQUENCE = 7
#: HEVC: slices to which no frame of the same temporal layer refers, and likewise the others.
_HEVC_UNREFERENCED = frozenset({0, 2, 4, 6, 8, 10, 12, 14})
_HEVC_OTHERS = frozenset({35, 38, 39, 40})
_HEVC_MAX_SLICE = 31
_HEVC_SEQUENCE = 33

#: Bytes [start, end) of the movie; fewer only at its end.
Read = Callable[[int, int], bytes]


class Kind(Enum):
    """What is known about a frame."""

    UNREFERENCED = "unreferenced"
    """None of its layer refers to it."""
    REFERENCED = "referenced"
    """Others may refer to it, or it holds more than its picture."""
    UNREADABLE = "unreadable"
    """Its units do not add up to the size of the packet."""


@dataclass(frozen=True)
class EncodedFrame:
    """One frame by its headers."""

    kind: Kind
    layer: int = 0
    """Temporal layer, HEVC only: frames of lower layers never refer to those of higher ones."""
    sequences: tuple[tuple[int, int], ...] = ()
    """(start, end) in the file of the sequence parameter sets before its picture."""


_UNREADABLE = EncodedFrame(Kind.UNREADABLE)


def examine(codec: str, read: Read, start: int, size: int) -> EncodedFrame:
    """Examine the encoded frame at bytes [start, start + size) of the movie.

    Reading stops at the first slice that others may refer to.
    """
    at, end = start, start + size
    sequences: list[tuple[int, int]] = []
    slices, layer, is_plain = 0, 0, True
    for _ in range(MAX_UNITS):
        head = read(at, min(at + SIZE_BYTES + HEAD_BYTES, end))
        first, following = at + SIZE_BYTES, at + SIZE_BYTES + int.from_bytes(head[:4], "big")
        if len(head) < SIZE_BYTES + HEAD_BYTES or not first + HEAD_BYTES <= following <= end:
            return _UNREADABLE
        unit = _UNITS[codec](head[SIZE_BYTES], head[SIZE_BYTES + 1])
        if unit is None:
            return _UNREADABLE
        if unit.is_referenced:
            return EncodedFrame(Kind.REFERENCED, max(layer, unit.layer), tuple(sequences))
        if unit.is_sequence:
            sequences.append((first, following))
        slices += unit.is_slice
        layer = max(layer, unit.layer if unit.is_slice else 0)
        is_plain = is_plain and (unit.is_slice or unit.has_no_effect)
        at = following
        if at == end:
            kind = Kind.UNREFERENCED if slices and is_plain else Kind.REFERENCED
            return EncodedFrame(kind, layer, tuple(sequences))
    return _UNREADABLE


@dataclass(frozen=True)
class _Unit:
    is_slice: bool = False
    is_referenced: bool = False
    """A slice to which others may refer."""
    is_sequence: bool = False
    has_no_effect: bool = False
    """On other frames."""
    layer: int = 0


def _h264_unit(first: int, _: int) -> _Unit | None:
    if first & 0x80:
        return None
    kind, importance = first & 31, first >> 5
    is_slice = kind in (_H264_SLICE, _H264_IDR)
    return _Unit(
        is_slice=is_slice,
        is_referenced=kind == _H264_IDR or (is_slice and importance > 0),
        is_sequence=kind == _H264_SEQUENCE,
        has_no_effect=kind in _H264_OTHERS,
    )


def _hevc_unit(first: int, second: int) -> _Unit | None:
    # Several layers (3D, scalability) are not examined.
    if first & 0x81 or second >> 3 or not second & 7:
        return None
    kind = first >> 1
    is_slice = kind <= _HEVC_MAX_SLICE
    return _Unit(
        is_slice=is_slice,
        is_referenced=is_slice and kind not in _HEVC_UNREFERENCED,
        is_sequence=kind == _HEVC_SEQUENCE,
        has_no_effect=kind in _HEVC_OTHERS,
        layer=(second & 7) - 1,
    )


_UNITS: dict[str, Callable[[int, int], _Unit | None]] = {"h264": _h264_unit, "hevc": _hevc_unit}
#: Codecs that can be examined, by ffmpeg's names.
CODECS = frozenset(_UNITS)
