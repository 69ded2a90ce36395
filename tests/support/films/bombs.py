"""Movies of a few kilobytes that describe gigabytes: each a pure function of its numbers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.films.hostile import box
from tests.support.films.media import Film, ffmpeg, make_film

#: One frame of 16x16 pixels, QuickTime's uncompressed RGB.
_SIDE, _PIXELS = 16, bytes(16 * 16 * 3)
_TICKS = 600


@dataclass(frozen=True)
class Tables:
    """The sample tables of a QuickTime video track."""

    num_samples: int
    stts: bytes = b""
    """Runs (count, ticks); by default one of a tick each."""
    ctts: bytes = b""
    stsc: bytes = struct.pack(">III", 1, 1, 1)
    chunks: int = 1
    """Entries of the chunk table, all of them the same chunk."""
    sizes: bytes = b""
    """Size of each sample; empty if all have `size`."""
    size: int = len(_PIXELS)
    edits: bytes = b""
    width: int = _SIDE
    height: int = _SIDE


def movie_of(tables: Tables, *tracks: bytes, extra: bytes = b"", tail: bytes = b"") -> bytes:
    """A QuickTime movie of one frame, by tables that may repeat it, and usual audio or `tracks`."""
    head = box(b"ftyp", b"qt  \0\0\0\0qt  ")
    offset = len(head) + 8
    data = box(b"mdat", _PIXELS)
    header = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, _TICKS, tables.num_samples) + bytes(80))
    others = tracks or (audio_track(48_000, 2, offset),)
    return head + data + box(b"moov", header, video_track(tables, offset), *others, extra) + tail


def video_track(tables: Tables, offset: int, number: int = 1) -> bytes:
    entry = struct.pack(">6xH16xHHII4xH32xHh", 1, tables.width, tables.height, 72 << 16, 72 << 16,
                        1, 24, -1)  # fmt: skip
    runs = tables.stts or struct.pack(">II", tables.num_samples, 1)
    parts = [
        box(b"stsd", struct.pack(">II", 0, 1), box(b"raw ", entry)),
        _counted(b"stts", runs, 8),
        _counted(b"stsc", tables.stsc, 12),
        box(b"stsz", struct.pack(">III", 0, 0 if tables.sizes else tables.size,
                                 tables.num_samples), tables.sizes),
        box(b"stco", struct.pack(">II", 0, tables.chunks) + struct.pack(">I", offset)
            * tables.chunks),
    ]  # fmt: skip
    if tables.ctts:
        parts.insert(2, _counted(b"ctts", tables.ctts, 8))
    return _track(b"vide", box(b"vmhd", bytes(12)), parts, tables.edits, number)


def audio_track(rate_hz: int, channels: int, offset: int, number: int = 2) -> bytes:
    """A track of 16-bit PCM with a version 2 sample description, whose rate is a float64."""
    entry = struct.pack(">6xHH6xHHhHI", 1, 2, 3, 16, -2, 0, 0x00010000)
    entry += struct.pack(">IdIIIIII", 72, float(rate_hz), channels, 0x7F000000, 16, 12,
                         2 * channels & 0xFFFFFFFF, 1)  # fmt: skip
    parts = [
        box(b"stsd", struct.pack(">II", 0, 1), box(b"lpcm", entry)),
        _counted(b"stts", struct.pack(">II", 256, 1), 8),
        _counted(b"stsc", struct.pack(">III", 1, 256, 1), 12),
        box(b"stsz", struct.pack(">III", 0, 2, 256)),
        box(b"stco", struct.pack(">III", 0, 1, offset)),
    ]
    return _track(b"soun", box(b"smhd", bytes(8)), parts, b"", number)


def _counted(name: bytes, entries: bytes, size: int) -> bytes:
    return box(name, struct.pack(">II", 0, len(entries) // size), entries)


def _track(kind: bytes, header: bytes, parts: list[bytes], edits: bytes, number: int) -> bytes:
    handler = box(b"hdlr", bytes(8) + kind + bytes(13))
    own = box(b"url ", struct.pack(">I", 1))
    info = box(b"dinf", box(b"dref", struct.pack(">II", 0, 1), own))
    length = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, _TICKS, 1, 0, 0))
    media = box(b"mdia", length, handler, box(b"minf", header, info, box(b"stbl", *parts)))
    shown = box(b"tkhd", struct.pack(">IIII", 15, 0, 0, number) + bytes(68))
    list_ = box(b"edts", _counted(b"elst", edits, 12)) if edits else b""
    return box(b"trak", shown, list_, media)


#: A valid minute of 25 frames a second.
STEADY = Tables(1500, stts=struct.pack(">II", 1500, 24), chunks=1500)


def repeated_chunk(per_chunk: int, chunks: int) -> bytes:
    """One chunk of bytes that are a sample each, named over and over."""
    each = struct.pack(">III", 1, per_chunk, 1)
    return movie_of(Tables(per_chunk * chunks, stsc=each, chunks=chunks, size=1))


def fragment_runs(runs: int, samples: int) -> bytes:
    """A fragment whose runs of samples have a count, and no tables at all."""
    run = box(b"trun", struct.pack(">II", 0, samples))
    head = box(b"tfhd", struct.pack(">IIIII", 0x020038, 1, 1, 1, 0))
    extends = box(b"mvex", box(b"trex", struct.pack(">IIIIII", 0, 1, 1, 1, 1, 0)))
    fragment = box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", head, run * runs))
    return movie_of(Tables(1), extra=extends, tail=fragment + box(b"mdat", bytes(64)))


def laced_matroska(blocks: int) -> bytes:
    """Blocks of 256 one-byte frames each: about one byte a frame."""

    def element(name: str, content: bytes) -> bytes:
        size = struct.pack(">Q", len(content) | 1 << 56)
        return bytes.fromhex(name) + size + content

    def number(name: str, value: int) -> bytes:
        return element(name, struct.pack(">Q", value))

    video = element("e0", number("b0", 16) + number("ba", 16))
    track = number("d7", 1) + number("73c5", 1) + number("83", 1) + element("86", b"V_VP8") + video
    lace = struct.pack(">BhBB", 0x81, 0, 0x84, 255) + bytes(256)
    cluster = number("e7", 0) + element("a3", lace) * blocks
    info = element("1549a966", number("2ad7b1", 1_000_000))
    head = element("1a45dfa3", element("4282", b"matroska"))
    wave = element("e1", element("b5", struct.pack(">d", 48_000)) + number("9f", 2))
    sound = number("d7", 2) + number("73c5", 2) + number("83", 2) + element("86", b"A_AC3") + wave
    tracks = element("1654ae6b", element("ae", track) + element("ae", sound))
    return head + element("18538067", info + tracks + element("1f43b675", cluster))


def png(side: int) -> bytes:
    """A PNG whose pixels are zeros: a few kilobytes for gigabytes."""

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(
            ">I", zlib.crc32(name + content))  # fmt: skip

    compressor = zlib.compressobj(9)
    rows = b"".join(compressor.compress(bytes(1 + 4 * side)) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    body = part(b"IHDR", header) + part(b"IDAT", rows + compressor.flush())
    return b"\x89PNG\r\n\x1a\n" + body + part(b"IEND", b"")


def metadata(title: str, extra: bytes) -> bytes:
    """iTunes tags: a comment of any size, and whatever else."""
    text = box(b"data", struct.pack(">II", 1, 0), title.encode())
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"meta", bytes(4), handler, box(b"ilst", box(b"\xa9cmt", text), extra))
    return box(b"udta", tags)


def cover(image: bytes) -> bytes:
    """A cover image as an iTunes tag."""
    return box(b"covr", box(b"data", struct.pack(">II", 14, 0), image))


def chapters(count: int) -> bytes:
    """Nero chapters with long names."""
    entry = struct.pack(">QB", 0, 255) + b"x" * 255
    return box(b"udta", box(b"chpl", struct.pack(">IIB", 1 << 24, 0, 255), entry * count))


def make_bombs(folder: Path, scale: int) -> dict[str, Path]:
    """One file of each kind; `scale` multiplies what they describe, not their size."""
    film = make_film(folder / "film.mkv", Film(seconds=3, width=64, height=48))
    million = 1_000_000 * scale
    run = struct.pack(">II", million, 1)
    odd_audio = {"rate_2e9": (2_000_000_000, 2), "rate_1": (1, 1), "channels_4096": (48_000, 4096)}
    made: dict[str, bytes | Callable[[Path], None]] = {
        "chunk_few.mov": repeated_chunk(700, million // 700),
        "chunk_padded.mov": repeated_chunk(700, million // 700) + box(b"free", bytes(5 * million)),
        "chunk_many.mov": repeated_chunk(1, min(million, 4_000_000)),
        "stts_ctts.mov": movie_of(
            Tables(2, stts=run * 500, ctts=struct.pack(">Ii", million, -5) * 500)
        ),
        "samples_without_chunks.mov": movie_of(Tables(2**31 - 1)),
        "edits.mov": movie_of(
            Tables(50_000, stsc=struct.pack(">III", 1, 50_000, 1),
                   edits=struct.pack(">IIHH", 50_000, 0, 1, 0) * (20 * scale))
        ),
        "fragments.mov": fragment_runs(64 * scale, 1_000_000),
        "tracks.mov": movie_of(
            Tables(1), *(audio_track(48_000, 2, 28, number) for number in range(2, 3000))
        ),
        "huge_frames.mov": movie_of(Tables(4, width=65535, height=65535)),
        "large_frames.mov": movie_of(Tables(4, width=16384, height=16384)),
        "comment.mov": movie_of(Tables(1), extra=metadata("c" * 40_000_000, b"")),
        "cover.mov": movie_of(Tables(1), extra=metadata("", cover(png(6_000)))),
        "covers.mov": movie_of(Tables(1), extra=metadata("", cover(png(2_000)) * 100)),
        "chapters.mov": movie_of(Tables(1), extra=chapters(50_000)),
        "laced.mkv": laced_matroska(8_000 * scale),
        **{
            f"{name}.mov": movie_of(STEADY, audio_track(rate, channels, 28))
            for name, (rate, channels) in odd_audio.items()
        },
        "title.mkv": lambda path: ffmpeg(
            "-i", film, "-c", "copy", "-metadata:s:a:0", "title=" + "t" * 100_000,
            "-metadata:s:a:0", "language=" + "l" * 100_000, path),
        "subtitles.mkv": lambda path: _with_subtitles(film, path, 100_000),
        "attachments.mkv": lambda path: _with_attachments(film, path, 300),
    }  # fmt: skip
    paths = {}
    for name, content in made.items():
        path = paths[name] = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
    film.unlink()
    return paths


def _with_subtitles(film: Path, path: Path, count: int) -> None:
    text = path.with_suffix(".srt")
    line = "00:00:01,000 --> 00:00:01,500\nx\n\n"
    text.write_text("".join(f"{number}\n{line}" for number in range(1, count + 1)))
    ffmpeg("-i", film, "-i", text, "-map", "0", "-map", "1", "-c", "copy", "-c:s", "srt", path)
    text.unlink()


def _with_attachments(film: Path, path: Path, count: int) -> None:
    font = path.with_suffix(".ttf")
    font.write_bytes(b"\0\1\0\0" + bytes(64))
    fonts = [word for _ in range(count) for word in ("-attach", str(font))]
    ffmpeg("-i", film, *fonts, "-c", "copy", "-metadata:s:t", "mimetype=font/ttf", path)
    font.unlink()


def long_movie(path: Path, hours: float, fps: int) -> Path:
    """A genuine movie of any length with H.264 and AAC, a few bytes a packet: one part, repeated.

    Its packets all exist in the file.
    """
    part = path.with_name("part.mp4")
    still = f"color=gray:size=64x48:rate={fps}"
    sources = ["-f", "lavfi", "-i", still, "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", str(10 * fps), "-c:a", "aac"]
    ffmpeg(*sources, "-t", "60", *coding, "-b:a", "16k", part)
    whole = ["-t", f"{3600 * hours:.0f}", "-c", "copy"]
    ffmpeg("-stream_loop", "-1", "-i", part, *whole, path)
    part.unlink()
    return path
