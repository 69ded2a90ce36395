"""What the units of an H.264 or HEVC frame say about references, by their headers alone.

A frame is a sequence of units, each after its size. Those of the picture (slices) say whether later
frames may refer to it; a decoder that never sees a frame to which none refers shows all others as
before. Whatever is unusual counts as referred to.

At an instantaneous decoding refresh (IDR) the decoder forgets all frames before: no later frame
refers to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from pipeline.probe.frame_headers.placed_packets import Read

#: Each unit is preceded by its size; files with shorter ones are rare and not examined.
SIZE_BYTES = 4
#: Bytes of a unit that are examined.
HEAD_BYTES = 2
#: Units of a frame: slices, and what precedes them. Files with more are not examined.
MAX_UNITS = 256

#: H.264: slices of frames other than IDR, those of IDR frames, and what has no effect on other
#: frames: supplemental information, delimiters, filler. Parameters and supplemental information.
_H264_SLICE, _H264_IDR = 1, 5
_H264_OTHERS = frozenset({6, 9, 12})
_H264_KEPT = frozenset({6, 7, 8, 13, 15})
#: HEVC: slices to which no frame of the same temporal layer refers, and likewise the others.
_HEVC_UNREFERENCED = frozenset({0, 2, 4, 6, 8, 10, 12, 14})
_HEVC_OTHERS = frozenset({35, 38, 39, 40})
_HEVC_MAX_SLICE = 31
_HEVC_IDR = frozenset({19, 20})
_HEVC_KEPT = frozenset({32, 33, 34, 39, 40})


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
    """Temporal layer of HEVC; 1 for B pictures of MPEG. Frames of lower layers never refer to those
    of higher ones."""
    is_plain: bool = False
    """Whether it holds its picture alone, and what has no effect on other frames."""
    is_reset: bool = False
    """Whether it is an IDR frame."""
    kept: tuple[tuple[int, int], ...] = ()
    """(start, end) in the file of its parameter sets and supplemental information."""


UNREADABLE = EncodedFrame(Kind.UNREADABLE)


def examine(codec: str, read: Read, start: int, size: int) -> EncodedFrame:
    """Examine the encoded frame at bytes [start, start + size) of the movie."""
    unit_of = _UNITS[codec]
    at, end = start, start + size
    kept: list[tuple[int, int]] = []
    layer, has_slice, is_referenced, is_plain, is_reset = 0, False, False, True, False
    for _ in range(MAX_UNITS):
        head = read(at, min(at + SIZE_BYTES + HEAD_BYTES, end))
        first, following = at + SIZE_BYTES, at + SIZE_BYTES + int.from_bytes(head[:4], "big")
        if len(head) < SIZE_BYTES + HEAD_BYTES or not first + HEAD_BYTES <= following <= end:
            return UNREADABLE
        unit = unit_of(head[SIZE_BYTES], head[SIZE_BYTES + 1])
        if unit is None:
            return UNREADABLE
        if unit.is_kept:
            kept.append((first, following))
        if unit.is_slice:
            has_slice, layer = True, max(layer, unit.layer)
            is_referenced |= unit.is_referenced
            is_reset |= unit.is_reset
        is_plain = is_plain and (unit.is_slice or unit.has_no_effect)
        at = following
        if at == end:
            is_unreferenced = has_slice and is_plain and not is_referenced
            kind = Kind.UNREFERENCED if is_unreferenced else Kind.REFERENCED
            return EncodedFrame(kind, layer, has_slice and is_plain, is_reset, tuple(kept))
    return UNREADABLE


@dataclass(frozen=True)
class _Unit:
    is_slice: bool = False
    is_referenced: bool = False
    """A slice to which others may refer."""
    is_reset: bool = False
    """A slice of an IDR frame."""
    is_kept: bool = False
    """See `EncodedFrame.kept`."""
    has_no_effect: bool = False
    """On other frames."""
    layer: int = 0


@lru_cache(maxsize=256)
def _h264_unit(first: int, _: int) -> _Unit | None:
    if first & 0x80:
        return None
    kind, importance = first & 31, first >> 5
    is_slice = kind in (_H264_SLICE, _H264_IDR)
    return _Unit(
        is_slice=is_slice,
        is_referenced=kind == _H264_IDR or (is_slice and importance > 0),
        is_reset=kind == _H264_IDR,
        is_kept=kind in _H264_KEPT,
        has_no_effect=kind in _H264_OTHERS,
    )


@lru_cache(maxsize=256)
def _hevc_unit(first: int, second: int) -> _Unit | None:
    # Several layers (3D, scalability) are not examined.
    if first & 0x81 or second >> 3 or not second & 7:
        return None
    kind = first >> 1
    is_slice = kind <= _HEVC_MAX_SLICE
    return _Unit(
        is_slice=is_slice,
        is_referenced=is_slice and kind not in _HEVC_UNREFERENCED,
        is_reset=kind in _HEVC_IDR,
        is_kept=kind in _HEVC_KEPT,
        has_no_effect=kind in _HEVC_OTHERS,
        layer=(second & 7) - 1,
    )


_UNITS: dict[str, Callable[[int, int], _Unit | None]] = {"h264": _h264_unit, "hevc": _hevc_unit}
#: Codecs that can be examined, by ffmpeg's names.
CODECS = frozenset(_UNITS)
