"""One clip <-> the bytes of its tar members.

    <clip_id>.frames.jpg   the frames stacked top to bottom in one baseline JPEG (a film strip)
    <clip_id>.logmel.npy   (n_mels, num_mel_frames) float16, natural log of mel power
    <clip_id>.json         the clip's row
    <clip_id>.audio.flac   optional: mono PCM

The strip makes a clip one decode call, viewable by anyone. A frame's height is a multiple of 16, so
no block of the JPEG spans two frames; decoded with plain chroma upsampling, frames do not bleed
into one another.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import google_crc32c
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from shards_spec.errors import ChecksumError, FormatError

FRAMES = "frames.jpg"
LOGMEL = "logmel.npy"
ROW = "json"
AUDIO = "audio.flac"

# Second bytes of JPEG markers.
_BASELINE, _START_OF_SCAN, _RESTART = 0xC0, 0xDA, 0xD0

#: Bytes of a tar header and the unit that members are padded to.
TAR_BLOCK = 512

_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '<f2', 'fortran_order': False, 'shape': \((\d{1,9}), (\d{1,9})\), \} *\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Sample:
    """A decoded clip."""

    clip_id: str
    frames: NDArray[np.uint8]
    """(T, H, W, 3) uint8 RGB."""
    logmel: NDArray[np.float16]
    """(n_mels, num_mel_frames) float16, natural log of mel power."""
    row: dict[str, Any]
    """The `.json` member: the clip's row less the columns that its place decides."""

    def __repr__(self) -> str:
        return f"Sample({self.clip_id}, frames={self.frames.shape}, logmel={self.logmel.shape})"


def encode_strip(frames: NDArray[np.uint8], quality: int) -> bytes:
    """Frames (T, H, W, 3) uint8 RGB -> a film strip, baseline JPEG with 4:2:0 chroma."""
    num_frames, height, width, _ = frames.shape
    if height % 16:
        raise ValueError(f"{height = } is not a multiple of 16; JPEG blocks would span two frames")
    strip = np.ascontiguousarray(frames).reshape(num_frames * height, width, 3)
    data: bytes = simplejpeg.encode_jpeg(strip, quality, "RGB", "420", fastdct=False)
    return data


def split_jpeg(data: bytes) -> tuple[bytes, bytes]:
    """The bytes of a JPEG of one frame as its headers and its coded blocks."""
    place = 2
    while data[place + 1] != _START_OF_SCAN:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    scan = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data[:scan], data[scan:-2]


def join_strip(head: bytes, scans: Sequence[bytes]) -> bytes:
    """A film strip from frames that were coded one by one, with no block coded anew.

    A restart marker parts the frames: there a decoder begins afresh, as it does in each frame's own
    JPEG, so the strip decodes to the very pixels of `encode_strip`.

    Args:
        head: headers of one frame, by `split_jpeg`; those of all frames are equal.
        scans: the coded blocks of the frames, by `split_jpeg`.
    """
    place = 2
    while head[place + 1] != _BASELINE:
        place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    height, width = (int.from_bytes(head[place + at : place + at + 2], "big") for at in (5, 7))
    if height % 16:
        raise ValueError(f"{height = } is not a multiple of 16; JPEG blocks would span two frames")
    tall = head[: place + 5] + (height * len(scans)).to_bytes(2, "big") + head[place + 7 :]
    interval = (height // 16 * -(-width // 16)).to_bytes(2, "big")
    parts = [tall[:2], b"\xff\xdd\x00\x04", interval, tall[2:]]
    for number, scan in enumerate(scans):
        parts += [scan, bytes((0xFF, _RESTART + number % 8))]
    return b"".join([*parts[:-1], b"\xff\xd9"])


def decode_strip(data: bytes | memoryview, num_frames: int) -> NDArray[np.uint8]:
    """A film strip -> frames (T, H, W, 3) uint8 RGB. Raises `FormatError` on broken bytes."""
    try:
        # Smooth chroma upsampling would mix the touching rows of two frames; plain copies do not.
        strip = simplejpeg.decode_jpeg(data, "RGB", fastupsample=True)
    except ValueError as error:
        raise FormatError(f"film strip is not a readable JPEG: {error}") from error
    rows, width, _ = strip.shape
    if num_frames < 1 or rows % num_frames:
        raise FormatError(f"film strip of {rows} rows does not divide into {num_frames} frames")
    return np.asarray(strip).reshape(num_frames, rows // num_frames, width, 3)


def encode_logmel(logmel: NDArray[np.float16]) -> bytes:
    """(n_mels, num_mel_frames) float16 -> `.npy` bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(logmel, dtype="<f2"), version=(1, 0))
    return buffer.getvalue()


def decode_logmel(data: bytes | memoryview) -> NDArray[np.float16]:
    """`.npy` bytes -> (n_mels, num_mel_frames) float16. Raises `FormatError` on broken bytes."""
    # The header has one form. Numpy's own reader evaluates it as Python, which CPython 3.11 does
    # not do reliably in several threads at once.
    header = _NPY_HEADER.match(data)
    if header is None or int.from_bytes(header[1], "little") + 10 != header.end():
        raise FormatError("log-mel is no .npy array of 2-D '<f2' in C order")
    shape = (int(header[2]), int(header[3]))
    # The header is not believed before its shape fits the bytes: it could ask for any memory.
    length = 2 * shape[0] * shape[1]
    if length != len(data) - header.end():
        raise FormatError(f"log-mel {shape} needs {length} bytes, not {len(data) - header.end()}")
    return np.frombuffer(data, "<f2", offset=header.end()).reshape(shape).astype(np.float16)


class StoredClip(Protocol):
    """Where the index says a clip is stored, and its checksum."""

    @property
    def clip_id(self) -> str: ...
    @property
    def shard(self) -> str: ...
    @property
    def tar_offset(self) -> int: ...
    @property
    def crc32c(self) -> int: ...


def check_crc32c(data: bytes | memoryview | NDArray[np.uint8], clip: StoredClip) -> None:
    """Raise `ChecksumError` unless `data` has the checksum that the index records."""
    # The library accepts no memoryview, but an array over the same memory.
    actual = google_crc32c.value(np.frombuffer(data, np.uint8))
    if actual != clip.crc32c:
        raise ChecksumError(
            f"{clip.shard} at byte {clip.tar_offset}: clip {clip.clip_id} has CRC-32C "
            f"{actual:#010x}, but the index records {clip.crc32c:#010x}; the shard is damaged or "
            "belongs to another index"
        )


def member_at(data: memoryview, offset: int, name: str) -> memoryview | None:
    """The member of that name whose tar header stands at `offset`, if it looks as the writer's do.

    For bytes that crc32c has verified: a loader finds a member in a fraction of the time that
    `split_members` takes.
    """
    start = offset + TAR_BLOCK
    header = bytes(data[offset:start]) if 0 <= offset <= len(data) - TAR_BLOCK else b""
    if not header.startswith(name.encode() + b"\0") or header[156:157] != b"0" or header[345]:
        return None
    try:
        end = start + int(header[124:135], 8)
    except ValueError:
        return None
    return data[start:end] if start <= end <= len(data) else None


def split_members(data: bytes | memoryview) -> dict[str, dict[str, memoryview]]:
    """Tar bytes of whole samples -> {clip_id: {member suffix: its bytes}}, in order, no copies.

    `data` is any run of consecutive samples of a shard, with or without the end-of-archive blocks.
    Raises `FormatError` where a header is broken or a member is cut off.
    """
    view = memoryview(data)
    samples: dict[str, dict[str, memoryview]] = {}
    offset = 0
    while offset + TAR_BLOCK <= len(view):
        header = bytes(view[offset : offset + TAR_BLOCK])
        if header == bytes(TAR_BLOCK):
            break
        name, size = _plain_member(header) or _any_member(header, offset)
        start = offset + TAR_BLOCK
        if not 0 <= size <= len(view) - start:
            raise FormatError(f"tar member {name!r} at byte {offset} is cut off or not a file")
        clip_id, _, suffix = name.partition(".")
        members = samples.setdefault(clip_id, {})
        if suffix in members:
            raise FormatError(f"tar member {name!r} at byte {offset} stands there twice")
        members[suffix] = view[start : start + size]
        offset = start + padded(size)
    if offset < len(view) and len(view) - offset < TAR_BLOCK:
        raise FormatError(f"{len(view) - offset} stray bytes after tar byte {offset}")
    return samples


def _plain_member(header: bytes) -> tuple[str, int] | None:
    """Name and size of a regular file in a header as the writer makes them; None for any other.

    `tarfile` takes three times as long.
    """
    name = header[:100].rstrip(b"\0")
    size, checksum = header[124:135], header[148:154]
    is_plain = header[156:157] == b"0" and header[257:265] == b"ustar\x0000" and not header[345]
    if not (is_plain and name.isascii() and size.isdigit() and checksum.isdigit()):
        return None
    try:
        # The checksum counts its own eight bytes as spaces.
        is_right = sum(header) - sum(header[148:156]) + 8 * ord(" ") == int(checksum, 8)
        return (name.decode("ascii"), int(size, 8)) if is_right and b"\0" not in name else None
    except ValueError:
        return None


def _any_member(header: bytes, offset: int) -> tuple[str, int]:
    """The same by the standard library. Raises `FormatError`."""
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise FormatError(f"broken tar header at byte {offset}: {error}") from error
    if not info.isreg():
        raise FormatError(f"tar member {info.name!r} at byte {offset} is cut off or not a file")
    return info.name, info.size


def decode_sample(clip_id: str, members: dict[str, memoryview]) -> Sample:
    """The members of one clip -> the decoded clip. Raises `FormatError`, naming the clip."""
    missing = [name for name in (FRAMES, LOGMEL, ROW) if name not in members]
    if missing:
        raise FormatError(f"clip {clip_id}: members {missing} are missing")
    try:
        row = json.loads(bytes(members[ROW]))
        frames = decode_strip(members[FRAMES], int(row["num_frames"]))
        return Sample(clip_id, frames, decode_logmel(members[LOGMEL]), row)
    except (FormatError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"clip {clip_id}: {error}") from error


def padded(size: int) -> int:
    """Bytes that a member of `size` bytes takes in a tar, its header not counted."""
    return -(-size // TAR_BLOCK) * TAR_BLOCK
