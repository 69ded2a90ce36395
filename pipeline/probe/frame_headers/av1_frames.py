"""The size that all frames of an AV1 stream have, if its headers prove that there is one.

Sizes are in sequence headers: if every packet at which decoding may start brings one, all are the
same, and no frame states a size of its own, sizes cannot change. A frame may also state a size for
display, from which decoders derive its pixel aspect; none must.

A packet is a sequence of units: sequence headers, frames, headers of frames, parts of frames,
metadata. Whatever is unusual is refused, several layers among it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.probe.frame_headers.av1_sequence import CHOSEN, Av1Sequence, parse_av1_sequence
from pipeline.probe.frame_headers.bits import Bits, UnexpectedDataError, require
from pipeline.probe.frame_headers.placed_packets import Read

#: Bytes at the start of a unit that suffice for its size, and for the size of its frame.
HEAD_BYTES = 32
#: Units of a packet, and bytes of a sequence header; streams with more are refused.
MAX_UNITS = 256
MAX_SEQUENCE_BYTES = 1024
#: The most bytes of the size of a unit, which has seven bits in each.
_SIZE_BYTES = 8
_ALL_REPLACED = 0xFF
#: Kinds of units: sequence headers; frames, their headers and repetitions of these; delimiters,
#: parts of frames, metadata, padding.
_SEQUENCE, _WITH_HEADER, _WITHOUT = 1, frozenset({6, 3, 7}), frozenset({2, 4, 5, 15})
#: Kinds of frames: without reference to others, with, without but not a start, and switches, which
#: may change the size.
_KEY, _INTER, _INTRA, _SWITCH = range(4)


def find_size(
    read: Read, ranges: Iterable[tuple[int, int]], are_keys: Sequence[bool]
) -> tuple[int, int] | None:
    """The width and height of all frames, pixels; None if there may be others.

    `ranges` are the (start, end) of all N packets in the file, `are_keys` (N,) tells at which of
    them decoding may start. Raises `UnexpectedDataError` if a unit is not as it must be.
    """
    payload = b""
    sequence: Av1Sequence | None = None
    for (start, end), is_key in zip(ranges, are_keys, strict=True):
        # Otherwise the container's configuration would count as well.
        may_follow = sequence is not None and not is_key
        for kind, first, last, head in _units(read, start, end):
            if kind == _SEQUENCE:
                require(last - first <= MAX_SEQUENCE_BYTES)
                brought = read(first, last)
                sequence = sequence or parse_av1_sequence(brought)
                payload = payload or brought
                require(brought == payload)
                may_follow = True
            elif kind in _WITH_HEADER:
                if sequence is None or not may_follow:
                    raise UnexpectedDataError("a frame without a sequence header")
                require(_has_usual_size(Bits(head), sequence))
            else:
                require(kind in _WITHOUT)
    return (sequence.width, sequence.height) if sequence else None


def _units(read: Read, start: int, end: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, (start, end) in the file of the content, and the content's first bytes of each unit."""
    for _ in range(MAX_UNITS):
        if start == end:
            return
        head = read(start, min(start + HEAD_BYTES, end))
        require(len(head) == min(HEAD_BYTES, end - start))
        # A bit that must be 0, the kind, whether layers are named, whether there is a size, a 0.
        kind, has_size = head[0] >> 3 & 15, head[0] & 2
        require(not head[0] & 0x85)
        at, size = _size(head) if has_size else (1, end - start - 1)
        first, start = start + at, start + at + size
        require(start <= end)
        yield kind, first, start, head[at : at + size]
    raise UnexpectedDataError("too many units in a packet")


def _size(head: bytes) -> tuple[int, int]:
    """Where the content of a unit begins, and its size."""
    size = 0
    for number, byte in enumerate(head[1 : 1 + _SIZE_BYTES]):
        size |= (byte & 127) << 7 * number
        if byte < 128:
            return 2 + number, size
    raise UnexpectedDataError("the size of a unit does not end")


def _has_usual_size(bits: Bits, sequence: Av1Sequence) -> bool:
    """Whether a frame has the size of the sequence, and square pixels."""
    if bits.flag():
        # An earlier frame is shown.
        return True
    kind, is_shown = bits.take(2), bits.flag()
    if kind == _SWITCH:
        return False
    if not is_shown:
        bits.take(1)
    is_resilient = (kind == _KEY and is_shown) or bits.flag()
    bits.take(1)
    has_screen_tools = bits.take(1) if sequence.screen_tools == CHOSEN else sequence.screen_tools
    if has_screen_tools and sequence.whole_motion == CHOSEN:
        bits.take(1)
    if bits.flag():
        return False
    bits.take(sequence.order_bits)
    is_intra = kind != _INTER
    if not is_intra and not is_resilient:
        bits.take(3)
    replaced = _ALL_REPLACED if kind == _KEY and is_shown else bits.take(8)
    if is_resilient and sequence.order_bits and not (is_intra and replaced == _ALL_REPLACED):
        bits.take(8 * sequence.order_bits)
    if not is_intra:
        _skip_references(bits, sequence)
    if sequence.has_scaling and bits.flag():
        bits.take(3)
    return not bits.flag()


def _skip_references(bits: Bits, sequence: Av1Sequence) -> None:
    # Seven numbers of three bits, or two from which the others follow.
    is_short = bool(sequence.order_bits) and bits.flag()
    bits.take(2 * 3 if is_short else 7 * 3)
