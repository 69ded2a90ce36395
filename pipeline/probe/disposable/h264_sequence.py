"""What a sequence parameter set of H.264 says about the order and the fields of frames."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.probe.frame_headers.bits import Bits, UnexpectedDataError

#: Profiles whose sets describe the sampling of colors.
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_EXTENDED_ASPECT = 255
_MAX_LIST = 32
#: Bytes of a set that are read.
_MAX_BYTES = 1024


@dataclass(frozen=True)
class H264Sequence:
    """A sequence parameter set, as far as leaving frames out depends on it."""

    is_progressive: bool
    """Whether it allows whole frames only."""
    has_gaps: bool
    """Whether numbers of reference frames may be missing."""
    order_type: int
    """How the order of frames is coded: 0 explicitly."""
    declares_delay: bool
    """Whether it declares how many frames output is delayed; otherwise decoders have to guess."""

    @property
    def is_safe(self) -> bool:
        """Whether a decoder shows the other frames as before if it misses unreferenced ones."""
        usual_order = self.order_type == 0 and self.declares_delay
        return self.is_progressive and not self.has_gaps and usual_order


def parse_h264_sequence(unit: bytes) -> H264Sequence | None:
    """Parse a unit, its header byte included; None if it is cut off or no such set."""
    bits = Bits(unit[1:].replace(b"\0\0\3", b"\0\0")[:_MAX_BYTES])
    try:
        return _parse(bits)
    except UnexpectedDataError:
        return None


def _parse(bits: Bits) -> H264Sequence:
    profile = bits.take(8)
    bits.take(16)
    bits.number()
    if profile in _HIGH_PROFILES:
        _skip_sampling(bits)
    bits.number()
    order_type = bits.number()
    if order_type == 0:
        bits.number()
    elif order_type == 1:
        bits.take(1)
        bits.number()
        bits.number()
        for _ in range(min(bits.number(), 255)):
            bits.number()
    bits.number()
    has_gaps = bits.flag()
    bits.number()
    bits.number()
    is_progressive = bits.flag()
    if not is_progressive:
        bits.take(1)
    bits.take(1)
    if bits.flag():
        for _ in range(4):
            bits.number()
    declares_delay = bits.flag() and _declares_delay(bits)
    return H264Sequence(is_progressive, has_gaps, order_type, declares_delay)


def _skip_sampling(bits: Bits) -> None:
    chroma = bits.number()
    if chroma == 3:
        bits.take(1)
    bits.number()
    bits.number()
    bits.take(1)
    if not bits.flag():
        return
    for number in range(12 if chroma == 3 else 8):
        if bits.flag():
            last = following = 8
            for _ in range(16 if number < 6 else 64):
                if following:
                    following = (last + bits.signed()) % 256
                last = following or last


def _declares_delay(bits: Bits) -> bool:
    """Whether the usability information restricts the reordering of frames."""
    if bits.flag() and bits.take(8) == _EXTENDED_ASPECT:
        bits.take(32)
    if bits.flag():
        bits.take(1)
    if bits.flag():
        bits.take(4)
        if bits.flag():
            bits.take(24)
    if bits.flag():
        bits.number()
        bits.number()
    if bits.flag():
        bits.take(65)
    has_buffers = False
    for _ in range(2):
        if bits.flag():
            has_buffers = True
            _skip_buffers(bits)
    if has_buffers:
        bits.take(1)
    bits.take(1)
    if not bits.flag():
        return False
    bits.take(1)
    for _ in range(6):
        bits.number()
    return True


def _skip_buffers(bits: Bits) -> None:
    count = min(bits.number(), _MAX_LIST) + 1
    bits.take(8)
    for _ in range(count):
        bits.number()
        bits.number()
        bits.take(1)
    bits.take(20)
