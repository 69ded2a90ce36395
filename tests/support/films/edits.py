"""MP4 and MOV files with edit lists, which say what parts of the media are played, in order."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

#: (seconds, start in the media in seconds; None for an empty edit).
Edit = tuple[Fraction, Fraction | None]


def set_edits(source: Path, path: Path, edits: Sequence[Edit]) -> Path:
    """Copy a file, whose index is at its end, with the same edits for all tracks."""
    boxes = [
        (kind, _moov(body, edits) if kind == b"moov" else body)
        for kind, body in _boxes(source.read_bytes())
    ]
    path.write_bytes(b"".join(_box(*box) for box in boxes))
    return path


def edited(
    frames: Sequence[tuple[Fraction, int]], edits: Sequence[Edit]
) -> list[tuple[Fraction, int]]:
    """(seconds since the first frame, number) of the frames that are shown, from those stored."""
    shown, now = [], Fraction(0)
    for length, start in edits:
        if start is not None:
            inside = [item for item in frames if start <= item[0] < start + length]
            shown += [(now + time - start, number) for time, number in inside]
        now += length
    return [(time - shown[0][0], number) for time, number in shown]


def _moov(body: bytes, edits: Sequence[Edit]) -> bytes:
    scale = int.from_bytes(dict(_boxes(body))[b"mvhd"][12:16], "big")
    boxes = [(k, _trak(b, edits, scale) if k == b"trak" else b) for k, b in _boxes(body)]
    return b"".join(_box(*box) for box in boxes)


def _trak(body: bytes, edits: Sequence[Edit], scale: int) -> bytes:
    boxes = dict(_boxes(body))
    media_scale = int.from_bytes(dict(_boxes(boxes[b"mdia"]))[b"mdhd"][12:16], "big")
    # The media time of t = 0: after the priming of audio, and the delay of B-frames.
    zero = 0
    if b"edts" in boxes:
        elst = dict(_boxes(boxes[b"edts"]))[b"elst"]
        zero = max(struct.unpack(">i", elst[at + 4 : at + 8])[0] for at in range(8, len(elst), 12))
    entries = b"".join(
        struct.pack(
            ">IiI",
            round(length * scale),
            -1 if start is None else round(start * media_scale) + zero,
            1 << 16,
        )
        for length, start in edits
    )
    elst = _box(b"elst", struct.pack(">II", 0, len(edits)) + entries)
    kept = [(kind, part) for kind, part in _boxes(body) if kind != b"edts"]
    place = [kind for kind, _ in kept].index(b"mdia")
    kept.insert(place, (b"edts", elst))
    return b"".join(_box(*box) for box in kept)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
