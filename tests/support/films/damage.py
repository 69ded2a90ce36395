"""Movies with bit rot, lost packets, or transmission errors: pure functions of their number."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

TS_PACKET = 188
#: Packets that describe a transport stream, at its start, before the first frame.
_TS_HEAD = 20


def rot(film: Path, path: Path, rng: random.Random, share: float) -> None:
    """Noise in an eighth of some encoded frames."""
    data = bytearray(film.read_bytes())
    for pos, size, _ in pictures(film)[1:]:
        if rng.random() < share:
            at, length = pos + int(size * rng.uniform(0.1, 0.8)), max(1, size // 8)
            data[at : at + length] = rng.randbytes(length)
    path.write_bytes(bytes(data))


def flip(film: Path, path: Path, rng: random.Random, share: float) -> None:
    """A few wrong bits in some encoded frames."""
    data = bytearray(film.read_bytes())
    for pos, size, _ in pictures(film)[1:]:
        if rng.random() < share:
            for _ in range(rng.choice([1, 3, 10])):
                data[pos + rng.randrange(size)] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


def lose(film: Path, path: Path, rng: random.Random, share: float) -> None:
    """Some frames are missing."""
    _remux(film, path, lambda packet: rng.random() >= share)


def lose_keys(film: Path, path: Path, rng: random.Random, share: float) -> None:
    """Some keyframes are missing."""
    _remux(film, path, lambda packet: not packet.is_keyframe or rng.random() >= share)


def lose_ts(film: Path, path: Path, rng: random.Random, share: float) -> None:
    """Single packets of a transport stream are lost."""
    parts = _ts_packets(film)
    kept = [p for number, p in enumerate(parts) if number < _TS_HEAD or rng.random() >= share]
    path.write_bytes(b"".join(kept))


def lose_ts_bursts(film: Path, path: Path, rng: random.Random, share: float) -> None:
    """Many consecutive packets are lost, among them whole frames."""
    parts = _ts_packets(film)
    kept, number = parts[:_TS_HEAD], _TS_HEAD
    while number < len(parts):
        if rng.random() < share:
            number += rng.choice([3, 10, 30, 80])
        else:
            kept.append(parts[number])
            number += 1
    path.write_bytes(b"".join(kept))


def lose_ts_keys(film: Path, path: Path, rng: random.Random, share: float) -> None:
    """Some keyframes are lost, with all their packets and maybe a few more."""
    lost: set[int] = set()
    for pos, size, is_key in pictures(film)[1:]:
        if is_key and rng.random() < share:
            end = (pos + size) // TS_PACKET + 1 + rng.choice([0, 3])
            lost |= set(range(pos // TS_PACKET, end))
    parts = _ts_packets(film)
    path.write_bytes(b"".join(p for number, p in enumerate(parts) if number not in lost))


def lose_one(film: Path, path: Path, picture: int) -> None:
    """The first packet of a transport stream that continues a frame is lost."""
    parts = _ts_packets(film)
    first = pictures(film)[picture][0] // TS_PACKET
    # Bytes 1 and 2 identify the stream; bit 6 is set where a frame starts.
    same = (parts[first][1] & 0x1F, parts[first][2])
    lost = next(
        number
        for number in range(first + 1, len(parts))
        if (parts[number][1] & 0x5F, parts[number][2]) == same
    )
    path.write_bytes(b"".join(parts[:lost] + parts[lost + 1 :]))


def pictures(film: Path) -> list[tuple[int, int, bool]]:
    """(offset in the file, bytes, is keyframe) of the encoded frames."""
    with av.open(str(film)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        return [(p.pos, p.size, p.is_keyframe) for p in packets if p.pos is not None]


def _ts_packets(film: Path) -> list[bytes]:
    data = film.read_bytes()
    return [data[at : at + TS_PACKET] for at in range(0, len(data), TS_PACKET)]


def _remux(film: Path, path: Path, keep: Callable[[av.Packet[Any]], bool]) -> None:
    with av.open(str(film)) as source, av.open(str(path), "w") as target:
        wanted = [source.streams.video[0], source.streams.audio[0]]
        streams = {s.index: target.add_stream_from_template(s) for s in wanted}
        is_first = True
        for packet in source.demux(*wanted):
            if packet.dts is None:
                continue
            is_picture = packet.stream.type == "video"
            if not is_picture or is_first or keep(packet):
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
            is_first = is_first and not is_picture
