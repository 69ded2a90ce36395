"""Movies of two parts with different decoder or display parameters."""

from __future__ import annotations

import struct
from pathlib import Path

import av

from tests.support.films.media import ffmpeg

#: Seconds of the first part.
CHANGE_SECONDS = 8

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p")
_X265 = "keyint=25:log-level=none:pools=1"
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", _X265)


def cut(master: Path, path: Path, start: float, end: float, graph: str, *options: str) -> Path:
    """Encode [start, end) seconds of `master` through a filter graph; times start at 0."""
    video = f"trim={start}:{end},setpts=PTS-STARTPTS,{graph}"
    audio = f"atrim={start}:{end},asetpts=PTS-STARTPTS"
    ffmpeg("-i", master, "-vf", video, "-af", audio, *options, "-threads", "1", path)
    return path


def join_flv(first: Path, second: Path, path: Path, change_seconds: int = CHANGE_SECONDS) -> Path:
    """One live stream made of two: the second keeps its sequence headers; times continue."""
    data, at = second.read_bytes(), 13
    parts = [first.read_bytes()]
    assert data[:3] == b"FLV"
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        time = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        time += change_seconds * 1000
        stamp = (time & 0xFFFFFF).to_bytes(3, "big") + bytes([time >> 24])
        if data[at] != 18:  # not metadata
            parts.append(data[at : at + 4] + stamp + data[at + 8 : at + 15 + size])
        at += 15 + size
    path.write_bytes(b"".join(parts))
    return path


def join_mov(first: Path, second: Path, path: Path) -> Path:
    """One MOV of two MP4s of equal frame rate and time base, with two sample descriptions."""
    descriptions, packets = [], []
    for part in (first, second):
        descriptions.append(_description(part.read_bytes()))
        with av.open(str(part)) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None
            scale = stream.time_base.denominator
            packets.append([p for p in container.demux(stream) if p.size])
    samples = [packet for part in packets for packet in part]
    data = b"".join(bytes(packet) for packet in samples)
    silence = bytes(2 * 8000 * (len(samples) // 25))
    start = 16 + 8
    boxes = _moov(descriptions, packets, scale, start, start + len(data), len(silence) // 2)
    ftyp = _box(b"ftyp", b"qt  " + bytes(4))
    path.write_bytes(ftyp + _box(b"mdat", data + silence) + boxes)
    return path


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _description(data: bytes) -> bytes:
    """The first sample description of an MP4 whose first track is video."""
    # After `stsd`: size, kind, version, count.
    at = data.index(b"stsd") + 12
    return data[at : at + int.from_bytes(data[at : at + 4], "big")]


def _moov(
    descriptions: list[bytes],
    packets: list[list[av.Packet[av.VideoStream]]],
    scale: int,
    video_at: int,
    audio_at: int,
    num_audio: int,
) -> bytes:
    samples = [packet for part in packets for packet in part]
    step = scale // 25
    # Both parts have the same reordering, so the second starts where the first ends.
    times = [time - part[0] for part in map(_reordering, packets) for time in part]
    counts = [len(part) for part in packets]
    offsets = [video_at, video_at + sum(packet.size for packet in packets[0])]
    stbl = _box(
        b"stbl",
        _full(b"stsd", len(descriptions), *descriptions),
        _full(b"stts", 1, struct.pack(">II", len(samples), step)),
        _full(b"ctts", len(times), *(struct.pack(">Ii", 1, time) for time in times)),
        _full(
            b"stss",
            sum(p.is_keyframe for p in samples),
            *(struct.pack(">I", i + 1) for i, p in enumerate(samples) if p.is_keyframe),
        ),
        _full(
            b"stsc", 2, *(struct.pack(">III", i + 1, counts[i], i + 1) for i in range(len(packets)))
        ),
        _box(
            b"stsz",
            bytes(8),
            struct.pack(">I", len(samples)),
            *(struct.pack(">I", packet.size) for packet in samples),
        ),
        _full(b"stco", 2, *(struct.pack(">I", offset) for offset in offsets)),
    )
    video = _trak(1, scale, step * len(samples), b"vide", _box(b"vmhd", bytes(4), bytes(8)), stbl)
    sound = _sound(audio_at, num_audio)
    mvhd = _box(
        b"mvhd",
        struct.pack(">IIIII", 0, 0, 0, scale, step * len(samples)),
        struct.pack(">IH", 0x10000, 0x100),
        bytes(10),
        _MATRIX,
        bytes(24),
        struct.pack(">I", 3),
    )
    return _box(b"moov", mvhd, video, sound)


def _reordering(packets: list[av.Packet[av.VideoStream]]) -> list[int]:
    """Delay from decoding to display of each packet, ticks."""
    return [(packet.pts or 0) - (packet.dts or 0) for packet in packets]


_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _full(kind: bytes, count: int, *entries: bytes) -> bytes:
    return _box(kind, bytes(4), struct.pack(">I", count), *entries)


def _sound(at: int, count: int) -> bytes:
    entry = struct.pack(">6xH8xHHHHI", 1, 1, 16, 0, 0, 8000 << 16)
    stbl = _box(
        b"stbl",
        _full(b"stsd", 1, _box(b"sowt", entry)),
        _full(b"stts", 1, struct.pack(">II", count, 1)),
        _full(b"stsc", 1, struct.pack(">III", 1, count, 1)),
        _box(b"stsz", bytes(4), struct.pack(">II", 2, count)),
        _full(b"stco", 1, struct.pack(">I", at)),
    )
    return _trak(2, 8000, count, b"soun", _box(b"smhd", bytes(8)), stbl)


def _trak(number: int, scale: int, length: int, kind: bytes, header: bytes, stbl: bytes) -> bytes:
    tkhd = _box(
        b"tkhd",
        struct.pack(">IIIIII", 3, 0, 0, number, 0, 0),
        bytes(16),
        _MATRIX,
        struct.pack(">II", 192 << 16, 112 << 16),
    )
    mdhd = _box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, scale, length, 0))
    hdlr = _box(b"hdlr", bytes(4), b"mhlr", kind, bytes(13))
    dinf = _box(b"dinf", _full(b"dref", 1, _box(b"url ", struct.pack(">I", 1))))
    return _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, _box(b"minf", header, dinf, stbl)))
