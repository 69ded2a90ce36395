"""What a sequence header of AV1 says about the frames after it, as far as their size needs it.

A stream whose header has a rare feature (several operating points, a decoder model, numbered
frames, single pictures) counts as unreadable.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.probe.frame_headers.bits import Bits, require

#: A value of two settings: each frame chooses.
CHOSEN = 2
#: Levels above this one have a tier.
_MAX_UNTIERED = 7


@dataclass(frozen=True)
class Av1Sequence:
    """A sequence header."""

    width: int
    """Of all frames that do not state another size, pixels."""
    height: int
    order_bits: int
    """Bits of a frame's place in the order of presentation; 0 if it has none."""
    screen_tools: int
    """Whether frames use tools for screen content; or `CHOSEN`."""
    whole_motion: int
    """Whether motion is in whole pixels where these tools are used; or `CHOSEN`."""
    has_scaling: bool
    """Whether frames may be encoded narrower, and are widened again by the decoder."""


def parse_av1_sequence(payload: bytes) -> Av1Sequence:
    """Parse the content of a unit. Raises `UnexpectedDataError` if it is cut off or unusual."""
    bits = Bits(payload)
    # Its profile, and whether it has a single picture; the short form is only for that.
    bits.take(3 + 1)
    require(not bits.flag())
    if bits.flag():
        _skip_timing(bits)
    has_delays = bits.flag()
    require(bits.take(5) == 0)
    bits.take(12)
    if bits.take(5) > _MAX_UNTIERED:
        bits.take(1)
    if has_delays and bits.flag():
        bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    require(not bits.flag())
    # Block size and intra prediction (3), then tools of frames that refer to others (4).
    bits.take(7)
    has_order = bits.flag()
    bits.take(2 if has_order else 0)
    screen_tools = CHOSEN if bits.flag() else bits.take(1)
    whole_motion = CHOSEN
    if screen_tools and not bits.flag():
        whole_motion = bits.take(1)
    order_bits = bits.take(3) + 1 if has_order else 0
    return Av1Sequence(width, height, order_bits, screen_tools, whole_motion, bits.flag())


def _skip_timing(bits: Bits) -> None:
    bits.take(64)
    if bits.flag():
        bits.number()
    # A decoder model adds times to every frame.
    require(not bits.flag())
