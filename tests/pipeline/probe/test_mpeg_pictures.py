"""Which MPEG pictures no other refers to, by their headers and their order."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.probe.disposable import mpeg4_pictures, mpeg12_pictures
from pipeline.probe.disposable.examiners import Examiner, examiner_of, has_safe_sequence, size_of
from pipeline.probe.disposable.reordering import is_usual_order
from pipeline.probe.disposable.units import EncodedFrame, Kind


def _unit(code: int, content: bytes) -> bytes:
    return b"\0\0\1" + bytes([code]) + content


def _picture(kind: int) -> bytes:
    """An MPEG-1 or 2 picture: its number in the group, its type, buffer and ranges."""
    return _unit(0x00, (7 << 22 | kind << 19 | 0x7FFF8).to_bytes(4, "big") + b"\x80")


def _coding(structure: int) -> bytes:
    """What MPEG-2 adds: ranges of vectors, precision, fields."""
    return _unit(0xB5, b"\x81\x11" + bytes([0x10 | structure]) + b"\x41\x80")


SLICES = _unit(0x01, b"\x12\x73\x40") + _unit(0x02, b"\x12\x73\x40" * 9)
SEQUENCE = _unit(0xB3, b"\x06\x00\x40\x13\xff\xff\xe0\x48")
EXTENSION = _unit(0xB5, b"\x14\x8a\x00\x01\x00\x00")
LOW_DELAY = EXTENSION[:-1] + b"\x80"
DISPLAY = _unit(0xB5, b"\x23\x05\x05\x05\x01\x80\x01\x00")
SCALABLE = _unit(0xB5, b"\x50\x80")
MATRIX = _unit(0xB5, b"\x38" + bytes(range(8, 72)))
PAN_AND_SCAN = _unit(0xB5, b"\x70\x80")
GROUP = _unit(0xB8, b"\x00\x08\x00\x40")
CAPTIONS = _unit(0xB2, b"GA94\x03\x54\xff\xfc\x80\x80\xff")
TMPGENC = _unit(0xB2, b"encoded by\0TMPGEXS\0" + bytes(range(1, 20)))
END = b"\0\0\1\xb7"
PIC_I, PIC_P, PIC_B, PIC_D = (_picture(kind) + _coding(3) for kind in (1, 2, 3, 4))
FIELD = _picture(3) + _coding(1)


def _examined(examiner: Examiner, data: bytes, before: int = 5) -> EncodedFrame:
    file = bytes(before) + data + b"\xff" * 40
    return examiner(lambda start, end: file[start:end], before, len(data))


def _mpeg2(data: bytes, codec: str = "mpeg2video") -> EncodedFrame:
    return _examined(partial(mpeg12_pictures.examine_picture, codec), data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PIC_B + SLICES, Kind.UNREFERENCED),
        (PIC_B + CAPTIONS + SLICES, Kind.UNREFERENCED),
        (PIC_P + SLICES, Kind.REFERENCED),
        (PIC_I + SLICES, Kind.REFERENCED),
        (GROUP + PIC_I + SLICES, Kind.REFERENCED),
        (
            SEQUENCE + EXTENSION + DISPLAY + CAPTIONS + GROUP + CAPTIONS + PIC_I + SLICES,
            Kind.REFERENCED,
        ),
        (PIC_B + SLICES + END, Kind.UNREFERENCED),
        # What else a packet brings may concern other frames.
        (PIC_B + MATRIX + SLICES, Kind.REFERENCED),
        (PIC_B + PAN_AND_SCAN + SLICES, Kind.REFERENCED),
        (PIC_B + TMPGENC + SLICES, Kind.REFERENCED),
        (GROUP + PIC_B + SLICES, Kind.REFERENCED),
        (SEQUENCE + EXTENSION + PIC_B + SLICES, Kind.REFERENCED),
        # Decoders read headers even after slices.
        (PIC_B + SLICES + MATRIX, Kind.UNREADABLE),
        (PIC_I + SLICES + DISPLAY, Kind.UNREADABLE),
        (PIC_I + DISPLAY + SLICES, Kind.UNREADABLE),
        (PIC_B + SLICES + PIC_P + SLICES, Kind.UNREADABLE),
        (PIC_B + SLICES + b"\0\0\1", Kind.UNREADABLE),
        # Other types, fields, no description, two of them, no picture, no slice.
        (PIC_D + SLICES, Kind.UNREADABLE),
        (_picture(0) + _coding(3) + SLICES, Kind.UNREADABLE),
        (FIELD + SLICES, Kind.UNREADABLE),
        (_picture(3) + SLICES, Kind.UNREADABLE),
        (PIC_B + _coding(3) + SLICES, Kind.UNREADABLE),
        (_coding(3) + SLICES, Kind.UNREADABLE),
        (PIC_B, Kind.UNREADABLE),
        (PIC_B + PIC_B + SLICES, Kind.UNREADABLE),
        # The packet does not begin with a unit, or with a strange one.
        (b"\0" + PIC_B + SLICES, Kind.UNREADABLE),
        (PIC_B[3:] + SLICES, Kind.UNREADABLE),
        (END + PIC_B + SLICES, Kind.UNREADABLE),
        (b"", Kind.UNREADABLE),
    ],
)
def test_pictures_of_mpeg_2(data: bytes, kind: Kind) -> None:
    found = _mpeg2(data)
    assert found.kind is kind
    assert found.is_plain == (kind is Kind.UNREFERENCED)
    assert not found.is_reset
    assert (found.layer == 1) == (kind is not Kind.UNREADABLE and PIC_B[:12] in data)


def test_pictures_of_mpeg_1() -> None:
    plain = _picture(3)
    assert _mpeg2(plain + SLICES, "mpeg1video").kind is Kind.UNREFERENCED
    assert _mpeg2(SEQUENCE + GROUP + _picture(1) + SLICES, "mpeg1video").kind is Kind.REFERENCED
    assert _mpeg2(PIC_B + SLICES, "mpeg1video").kind is Kind.UNREADABLE


def test_packets_that_are_cut_off() -> None:
    file = PIC_B + SLICES
    found = mpeg12_pictures.examine_picture("mpeg2video", lambda a, b: file[a:b], 0, len(file) + 1)
    assert found.kind is Kind.UNREADABLE
    found = mpeg4_pictures.examine_picture(5, lambda a, b: VOP_B[a:b], 0, len(VOP_B) + 1)
    assert found.kind is Kind.UNREADABLE


def test_where_the_sequence_header_is() -> None:
    data = SEQUENCE + EXTENSION + DISPLAY + GROUP + PIC_I + SLICES
    assert _mpeg2(data).kept == ((5, 5 + len(SEQUENCE + EXTENSION + DISPLAY)),)
    assert mpeg12_pictures.sequence_in(data) == SEQUENCE + EXTENSION + DISPLAY
    assert mpeg12_pictures.sequence_in(GROUP) == b""


@pytest.mark.parametrize(
    ("kept", "configuration", "is_one"),
    [
        ([SEQUENCE + EXTENSION], SEQUENCE + EXTENSION, True),
        ([SEQUENCE + EXTENSION], b"", True),
        ([], SEQUENCE + EXTENSION + DISPLAY + GROUP, True),
        ([], b"", False),
        ([SEQUENCE + EXTENSION], SEQUENCE + EXTENSION + DISPLAY, False),
        ([SEQUENCE + EXTENSION, SEQUENCE + EXTENSION + DISPLAY], b"", False),
        ([SEQUENCE + LOW_DELAY], b"", False),
        ([SEQUENCE], b"", False),
        ([SEQUENCE + EXTENSION + SCALABLE], b"", False),
    ],
)
def test_one_sequence_of_mpeg_2(kept: list[bytes], configuration: bytes, is_one: bool) -> None:
    found = frozenset(header.rstrip(b"\0") for header in kept)
    assert has_safe_sequence("mpeg2video", found, configuration) == is_one


def test_size_of_mpeg_2() -> None:
    kept = frozenset([(SEQUENCE + EXTENSION).rstrip(b"\0")])
    assert size_of("mpeg2video", kept, b"") == (96, 64)
    assert size_of("mpeg2video", frozenset([SEQUENCE + LOW_DELAY]), b"") == (96, 64)
    large = _unit(0xB5, b"\x14\x8a\xa0\x01\x00\x00")
    assert size_of("mpeg2video", frozenset([SEQUENCE + large]), b"") == (96 + 4096, 64 + 4096)
    assert size_of("mpeg2video", kept, SEQUENCE + EXTENSION + DISPLAY) is None
    assert size_of("mpeg1video", frozenset([SEQUENCE]), b"") == (96, 64)


def test_one_sequence_of_mpeg_1() -> None:
    assert has_safe_sequence("mpeg1video", frozenset([SEQUENCE]), b"")
    assert not has_safe_sequence("mpeg1video", frozenset([SEQUENCE + EXTENSION]), b"")


def _bits(*fields: tuple[int, int]) -> bytes:
    """Numbers of so many bits each, filled up with a zero and ones."""
    text = "".join(f"{value:0{count}b}" for value, count in fields)
    text += "0" + "1" * (-(len(text) + 1) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _layer(
    delay: tuple[int, ...] = (1, 1, 0, 0), shape: int = 0, fields: int = 0, sprites: int = 0
) -> bytes:
    """The layer of an MPEG-4 movie, 25 frames per second, with times of 5 bits."""
    described = (0, 1), (1, 8), (1, 1), (2, 4), (1, 3), (1, 4)
    control = tuple(zip(delay, (1, 2, 1, 1), strict=False))
    time = (shape, 2), (1, 1), (25, 16), (1, 1), (0, 1)
    size = (1, 1), (320, 13), (1, 1), (192, 13), (1, 1), (fields, 1), (1, 1), (sprites, 2)
    return _unit(0x20, _bits(*described, *control, *time, *size))


def _vop(kind: int, *, seconds: int = 0, coded: int = 1, marker: int = 1) -> bytes:
    start = (kind, 2), ((1 << seconds + 1) - 2, seconds + 1), (marker, 1)
    return _unit(0xB6, _bits(*start, (24, 5), (1, 1), (coded, 1), (5, 3)) + b"\x55" * 30)


LAYER, XVID = _layer(), _unit(0xB2, b"XviD0050")
OBJECT = _unit(0xB0, b"\xf5") + _unit(0xB5, b"\x09") + _unit(0x00, b"")
TIME = _unit(0xB3, b"\x00\x10\x07")
VOP_I, VOP_P, VOP_B, VOP_S = map(_vop, range(4))


def _mpeg4(data: bytes) -> EncodedFrame:
    examiner = examiner_of("mpeg4", OBJECT + LAYER + XVID)
    assert examiner is not None
    return _examined(examiner, data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (VOP_B, Kind.UNREFERENCED),
        (_vop(2, seconds=3), Kind.UNREFERENCED),
        (VOP_B + b"\0\0\1\xb1", Kind.UNREFERENCED),
        (VOP_P, Kind.REFERENCED),
        (VOP_I, Kind.REFERENCED),
        (OBJECT + LAYER + XVID + TIME + VOP_I, Kind.REFERENCED),
        # What else a packet brings may concern other frames.
        (TIME + VOP_B, Kind.REFERENCED),
        (XVID + VOP_B, Kind.REFERENCED),
        # Another picture in the packet, maybe a part of one.
        (VOP_P + VOP_B, Kind.UNREADABLE),
        (VOP_B + b"\0\0\1", Kind.UNREADABLE),
        # Sprites, an empty picture, one of another layer, none.
        (VOP_S, Kind.UNREADABLE),
        (_vop(1, coded=0), Kind.UNREADABLE),
        (_vop(2, marker=0), Kind.UNREADABLE),
        (OBJECT + LAYER, Kind.UNREADABLE),
        (VOP_B[:5], Kind.UNREADABLE),
        (b"\0" + VOP_B, Kind.UNREADABLE),
        (b"", Kind.UNREADABLE),
    ],
)
def test_pictures_of_mpeg_4(data: bytes, kind: Kind) -> None:
    found = _mpeg4(data)
    assert found.kind is kind
    assert found.is_plain == (kind is Kind.UNREFERENCED)


@pytest.mark.parametrize(
    ("layer", "is_safe"),
    [
        (LAYER, True),
        # Without a word about reordering, without reordering, interlaced.
        (_layer(delay=(0,)), False),
        (_layer(delay=(1, 1, 1, 0)), False),
        (_layer(fields=1), False),
        # Another shape, sprites, cut off, two layers, none.
        (_layer(shape=1), None),
        (_layer(sprites=2), None),
        (LAYER[:12], None),
        (LAYER + _layer(delay=(1, 2, 0, 0)), None),
        (b"", None),
    ],
)
def test_layers(layer: bytes, is_safe: bool | None) -> None:
    assert (examiner_of("mpeg4", OBJECT + layer) is None) == (is_safe is None)
    assert has_safe_sequence("mpeg4", frozenset(), OBJECT + layer) == (is_safe is True)
    size = size_of("mpeg4", frozenset([layer]), OBJECT + XVID)
    assert size == (None if is_safe is None else (320, 192))


@pytest.mark.parametrize(
    ("kept", "configuration", "is_one"),
    [
        ([], OBJECT + LAYER + XVID, True),
        ([LAYER, XVID], OBJECT + LAYER, True),
        ([_layer(delay=(1, 2, 0, 0))], OBJECT + LAYER, False),
        # Two pictures in a packet.
        ([_unit(0xB2, b"DivX503b1393p")], OBJECT + LAYER, False),
        ([], OBJECT + LAYER + _unit(0xB2, b"DivX501Build413p"), False),
        ([_unit(0xB2, b"DivX503b1393")], OBJECT + LAYER, True),
    ],
)
def test_one_layer_of_mpeg_4(kept: list[bytes], configuration: bytes, is_one: bool) -> None:
    assert has_safe_sequence("mpeg4", frozenset(kept), configuration) == is_one


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([PIC_B, SLICES, VOP_B, LAYER, SEQUENCE, b"\0\0\1", b"\x18"])))
def test_any_bytes_are_examined(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert _mpeg2(data).kind in Kind
    assert _mpeg4(data).kind in Kind
    assert has_safe_sequence("mpeg2video", frozenset([data]), data) in (True, False)


@pytest.mark.parametrize(
    ("frames", "is_usual"),
    [
        ("I0 P3 B1 B2 P6 B4 B5", True),
        ("I0 P1 P2", True),
        # An open group of pictures, and one at the start of the movie.
        ("I0 P3 B1 B2 I6 B4 B5 P7", True),
        ("I2 B0 B1 P3", True),
        # B pictures that were others, and the reverse.
        ("I0 B3 B1 B2 P6 B4 B5", False),
        ("I0 P3 B1 B2 B6 B4 B5", False),
        ("I0 P3 P1 B2", False),
        ("I0 P1 P4 B2 B3 B0", False),
        ("B0 I2 B1 P3", False),
        ("I0 P3 B1 B2 P6 B4 B5 P9 B2", False),
        # A missing one.
        ("I0 P3 B1 P6 B4 B5", False),
        ("I0 P2 B1 P5 B4", False),
        ("I0", False),
    ],
)
def test_order_of_pictures(frames: str, is_usual: bool) -> None:
    pts = np.array([int(frame[1:]) for frame in frames.split()], np.int64)
    is_b = np.array([frame[0] == "B" for frame in frames.split()], np.bool_)
    assert is_usual_order(pts * 40 + 7, is_b) == is_usual
