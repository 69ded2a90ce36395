"""Damaged and inconsistent movies: each a pure function of its number and its seed movie."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path

from tests.support.films.media import Film, make_film

_SMALL = Film(seconds=4.0, width=64, height=48)
#: Sizes and durations that no movie has.
_HUGE = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE)
#: Boxes whose fields state lengths, sizes, counts or positions.
_LYING = (b"mvhd", b"tkhd", b"mdhd", b"stsd", b"stts", b"stsz", b"stsc", b"stco", b"elst", b"ctts")


def make_seeds(folder: Path) -> list[Path]:
    """Four small movies: MP4, Matroska, AVI and MPEG-TS."""
    mpeg = ("-c:v", "mpeg4", "-q:v", "9")
    films = {
        "a.mp4": replace(_SMALL, gop=25, audio=("-c:a", "aac", "-b:a", "32k")),
        "b.mkv": replace(_SMALL, gop=25, audio=("-c:a", "libopus", "-b:a", "32k")),
        "c.avi": replace(_SMALL, video=mpeg, audio=("-c:a", "mp3", "-b:a", "64k")),
        "d.ts": replace(_SMALL, gop=25, audio=("-c:a", "aac", "-b:a", "32k")),
    }
    return [make_film(folder / name, film) for name, film in films.items()]


def mutate(data: bytes, suffix: str, number: int) -> bytes:
    """Mutant `number` of a movie: the kinds take turns."""
    rng = random.Random(f"{suffix} {number}")
    kinds = [_flip_bits, _cut_off, _lie, _swap_boxes, _repeat_part, _zero_part, _garbage, _grow_box]
    return kinds[number % len(kinds)](bytearray(data), rng)


def _flip_bits(data: bytearray, rng: random.Random) -> bytes:
    # Half of the flips are in the first tenth, because headers break parsers most often.
    for _ in range(rng.choice([1, 4, 30, 300])):
        end = len(data) if rng.random() < 0.5 else max(1, len(data) // 10)
        data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _cut_off(data: bytearray, rng: random.Random) -> bytes:
    end = rng.randrange(len(data))
    return bytes(data[:end] if rng.random() < 0.8 else data[end:])


def _lie(data: bytearray, rng: random.Random) -> bytes:
    """Overwrite a 32-bit header field with an impossible value."""
    places = [data.find(name) for name in _LYING if name in data]
    at = rng.choice(places) + 4 + 4 * rng.randrange(24) if places else rng.randrange(len(data) // 8)
    at = min(at, len(data) - 4)
    value = rng.choice([*_HUGE, 0x40004000, rng.randrange(1 << 32)])
    data[at : at + 4] = struct.pack(rng.choice([">I", "<I"]), value)
    return bytes(data)


def _swap_boxes(data: bytearray, rng: random.Random) -> bytes:
    """Top-level boxes in another order, some twice, some removed; thirds if there are no boxes."""
    parts = _boxes(bytes(data))
    if len(parts) < 3:
        third = len(data) // 3
        parts = [bytes(data[:third]), bytes(data[third : 2 * third]), bytes(data[2 * third :])]
    return b"".join(rng.choices(parts, k=len(parts) + rng.randrange(3)))


def _repeat_part(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randrange(1, 4096))
    return bytes(data[:end] + data[start:end] * rng.choice([1, 3, 50]) + data[end:])


def _zero_part(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randrange(1, 8192))
    data[start:end] = bytes([rng.choice([0, 255])]) * (end - start)
    return bytes(data)


def _garbage(data: bytearray, rng: random.Random) -> bytes:
    head = bytes(data[: rng.choice([0, 4, 12, 64, 512])])
    return head + rng.randbytes(rng.choice([0, 1, 100, 5000]))


def _grow_box(data: bytearray, rng: random.Random) -> bytes:
    """A box, element or chunk that claims gigabytes but is empty."""
    names = [
        name for name in (b"mdat", b"moov", b"stbl", b"avcC", b"LIST", b"movi") if name in data
    ]
    if names:
        at = max(0, data.find(rng.choice(names)) - 4)
        data[at : at + 4] = struct.pack(">I", rng.choice([0xFFFFFFF0, 0x7FFFFFF0, 9]))
    else:
        at = rng.randrange(len(data) // 4)
        data[at : at + 8] = b"\x01\xff\xff\xff\xff\xff\xff\xf0"
    return bytes(data)


def _boxes(data: bytes) -> list[bytes]:
    parts, at = [], 0
    while at + 8 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if size < 8 or at + size > len(data):
            break
        parts.append(data[at : at + size])
        at += size
    return parts
