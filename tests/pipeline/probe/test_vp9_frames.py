"""Headers of VP9 frames, written bit by bit."""

from __future__ import annotations

import pytest

from pipeline.probe.frame_headers.bits import UnexpectedDataError
from pipeline.probe.frame_headers.vp9_frames import find_size
from tests.support.films.packets import placed

SYNC, SIZE = f"{0x498342:024b}", f"{159:016b}{95:016b}"
KEY = f"10 00 0 0 1 0 {SYNC} 010 0 {SIZE} 0"
#: Found in the first, second or third frame to which it refers.
FIRST = "10 00 0 1 1 0 00 00000001 0000 0010 0100 1 0"
RESILIENT = "10 00 0 1 1 1 00000001 0000 0010 0100"
INTER = (FIRST, f"{RESILIENT} 01 0", f"{RESILIENT} 001 0")
HIDDEN = "10 00 0 1 0 0 0 00 00000001 0000 0010 0100 1 0"
INTRA = f"10 00 0 1 0 0 1 00 {SYNC} 00000001 {SIZE} 0"
SHOWN_AGAIN = "10 00 1 011"
#: Profile 2 with 10 bits per sample, profile 1 with 4:4:4, profile 3 with RGB of 12 bits.
DEEP = f"10 01 0 0 1 0 {SYNC} 0 010 0 {SIZE} 0"
FULL = f"10 10 0 0 1 0 {SYNC} 010 0 00 0 {SIZE} 0"
RGB = f"10 11 0 0 0 1 0 {SYNC} 1 111 0 {SIZE} 0"
OTHER_SIZE = f"{159:016b}{96:016b}"


def as_bytes(bits: str, more: int = 4) -> bytes:
    """The bits with zeros up to the next byte, and bytes that may be anything."""
    digits = bits.replace(" ", "")
    digits += "0" * (-len(digits) % 8)
    return int(digits, 2).to_bytes(len(digits) // 8, "big") + b"\x55" * more


def vp9_size(*frames: bytes) -> tuple[int, int] | None:
    """What packets with these bytes prove."""
    return find_size(*placed(frames))


def superframe(*frames: bytes, sizes: tuple[int, ...] = (), num_bytes: int = 2) -> bytes:
    """A packet of several frames with an index, of the true `sizes` by default."""
    marker = bytes([0xC0 | (num_bytes - 1) << 3 | (len(frames) - 1)])
    listed = [size.to_bytes(num_bytes, "little") for size in sizes or map(len, frames)]
    return b"".join(frames) + marker + b"".join(listed) + marker


def test_sizes_of_vp9_headers() -> None:
    kinds = (KEY, *INTER, HIDDEN, INTRA, SHOWN_AGAIN)
    assert vp9_size(*map(as_bytes, kinds)) == (160, 96)
    assert vp9_size(as_bytes(SHOWN_AGAIN, 0), as_bytes(KEY)) == (160, 96)
    assert vp9_size(as_bytes(INTRA), as_bytes(HIDDEN)) == (160, 96)
    for key in (DEEP, FULL, RGB):
        assert vp9_size(as_bytes(key)) == (160, 96)
    # The profile is part of every header.
    assert vp9_size(as_bytes(DEEP), as_bytes(INTER[0].replace("10 00", "10 01"))) == (160, 96)
    again = INTER[0][:-3] + f"000 {SIZE} 0"
    assert vp9_size(as_bytes(KEY), as_bytes(again)) == (160, 96)


@pytest.mark.parametrize(
    "frames",
    [
        (INTER[0], HIDDEN),
        (KEY, KEY.replace(SIZE, OTHER_SIZE)),
        (KEY, INTRA.replace(SIZE, OTHER_SIZE)),
        (KEY, INTER[0][:-3] + f"000 {OTHER_SIZE} 0"),
        (KEY, FULL),
        (KEY, DEEP.replace("10 01", "10 00")),
        (KEY, INTER[0].replace("10 00", "10 01")),
        (DEEP, DEEP.replace(f"{SYNC} 0", f"{SYNC} 1")),
        (FULL, FULL.replace(" 00 0 ", " 01 0 ")),
    ],
)
def test_vp9_headers_that_differ(frames: tuple[str, ...]) -> None:
    assert vp9_size(*map(as_bytes, frames)) is None


@pytest.mark.parametrize(
    "frame",
    [
        as_bytes(KEY.replace("10 00", "01 00", 1)),
        as_bytes(KEY.replace(SYNC, f"{0x498343:024b}")),
        as_bytes(INTRA.replace(SYNC, f"{0x498343:024b}")),
        as_bytes(KEY.replace("010 0", "111 0")),
        as_bytes(RGB.replace("11 0", "11 1", 1)),
        as_bytes(RGB.replace("111 0", "111 1")),
        as_bytes(FULL.replace(" 00 0 ", " 00 1 ")),
        as_bytes(FULL.replace(" 00 0 ", " 11 0 ")),
        as_bytes(KEY, 0)[:8],
        as_bytes(INTER[0], 0)[:3],
    ],
)
def test_vp9_headers_that_are_refused(frame: bytes) -> None:
    with pytest.raises(UnexpectedDataError):
        vp9_size(as_bytes(KEY), frame)


def test_packets_of_several_vp9_frames() -> None:
    key, hidden, inter = (as_bytes(bits, 20) for bits in (KEY, HIDDEN, INTER[0]))
    other = as_bytes(KEY.replace(SIZE, OTHER_SIZE), 300)
    again = as_bytes(SHOWN_AGAIN, 0)
    for num_bytes in range(1, 5):
        assert vp9_size(key, superframe(hidden, inter, num_bytes=num_bytes)) == (160, 96)
    assert vp9_size(superframe(key, *[again] * 7, num_bytes=4)) == (160, 96)
    assert vp9_size(key, superframe(hidden, other)) is None
    # A marker without another one in front of the sizes is data.
    assert vp9_size(key, inter + b"\xc1") == (160, 96)
    assert vp9_size(key, again + b"\xc7") == (160, 96)
    size = len(inter)
    for sizes in ((size, 0), (size, size - 1), (size, size + 1), (2 * size, 1)):
        with pytest.raises(UnexpectedDataError):
            vp9_size(key, superframe(inter, inter, sizes=sizes))


def test_streams_with_many_different_vp9_headers_are_refused() -> None:
    changing = [as_bytes(KEY.replace(SIZE, f"{number:032b}")) for number in range(9)]
    with pytest.raises(UnexpectedDataError):
        vp9_size(*changing)
