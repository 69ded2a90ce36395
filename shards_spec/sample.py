"""Encoding and decoding of one clip: the bytes of its tar members.

    <clip_id>.frames.jpg   the frames stacked top to bottom in one baseline JPEG (a film strip)
    <clip_id>.logmel.npy   (n_mels, num_mel_frames) float16, natural log of mel power
    <clip_id>.json         the clip's row
    <clip_id>.audio.flac   optional: mono PCM

A film strip is decoded with one call and can be viewed with any program. The height of a frame is a
multiple of 16, so that no JPEG block spans two frames; decoded with plain chroma upsampling, frames
do not bleed into each other.
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

#: Most bytes of a decoded film strip; a compressed one may come from anyone.
MAX_STRIP_BYTES = 1 << 30

#: Size of a tar header, and the unit that members are padded to, bytes.
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
    """The `.json` member: the clip's row without `schema.LOCATION_COLUMNS`."""

    def __repr__(self) -> str:
        return f"Sample({self.clip_id}, frames={self.frames.shape}, logmel={self.logmel.shape})"


def encode_strip(frames: NDArray[np.uint8], quality: int) -> bytes:
    """(T, H, W, 3) uint8 RGB -> a film strip: baseline JPEG with 4:2:0 chroma."""
    num_frames, height, width, _ = frames.shape
    if height % 16:
        raise ValueError(f"{height = } is not a multiple of 16; JPEG blocks would span two frames")
    strip = np.ascontiguousarray(frames).reshape(num_frames * height, width, 3)
    data: bytes = simplejpeg.encode_jpeg(strip, quality, "RGB", "420", fastdct=False)
    return data


def split_jpeg(data: bytes) -> tuple[bytes, bytes]:
    """Split the JPEG of one frame into its headers and its entropy-coded data."""
    position = 2
    while data[position + 1] != _START_OF_SCAN:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    scan = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data[:scan], data[scan:-2]


def join_strip(head: bytes, scans: Sequence[bytes]) -> bytes:
    """Join separately encoded frames into a film strip without encoding them again.

    Restart markers separate the frames. A decoder resets its state there, as at the start of each
    frame's own JPEG, so the strip decodes to exactly the pixels of `encode_strip`.

    Args:
        head: headers of one frame from `split_jpeg`; they are equal for all frames.
        scans: entropy-coded data of the frames from `split_jpeg`.
    """
    position = 2
    while head[position + 1] != _BASELINE:
        position += 2 + int.from_bytes(head[position + 2 : position + 4], "big")
    size = head[position + 5 : position + 9]
    height, width = int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big")
    if height % 16:
        raise ValueError(f"{height = } is not a multiple of 16; JPEG blocks would span two frames")
    strip_height = (height * len(scans)).to_bytes(2, "big")
    tall = head[: position + 5] + strip_height + head[position + 7 :]
    interval = (height // 16 * -(-width // 16)).to_bytes(2, "big")
    parts = [tall[:2], b"\xff\xdd\x00\x04", interval, tall[2:]]
    for number, scan in enumerate(scans):
        parts += [scan, bytes((0xFF, _RESTART + number % 8))]
    return b"".join([*parts[:-1], b"\xff\xd9"])


def decode_strip(
    data: bytes | memoryview, num_frames: int, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """A film strip -> (T, H, W, 3) uint8 RGB.

    Raises `FormatError` for damaged bytes, and for frames that are too large or do not have the
    `size` (height, width). That is known from the header, before memory is allocated.
    """
    try:
        rows, width, _, _ = simplejpeg.decode_jpeg_header(data)
        _check_strip(rows, width, num_frames, size)
        # Smooth chroma upsampling would mix adjacent rows of two frames; plain repetition does not.
        strip = simplejpeg.decode_jpeg(data, "RGB", fastupsample=True)
    except ValueError as error:
        raise FormatError(f"film strip is not a readable JPEG: {error}") from error
    return np.asarray(strip).reshape(num_frames, rows // num_frames, width, 3)


def _check_strip(rows: int, width: int, num_frames: int, size: tuple[int, int] | None) -> None:
    if num_frames < 1 or rows % num_frames:
        raise FormatError(f"film strip of {rows} rows does not divide into {num_frames} frames")
    if 3 * rows * width > MAX_STRIP_BYTES:
        raise FormatError(f"film strip of {width} x {rows} pixels is too large to decode")
    if size is not None and size != (rows // num_frames, width):
        height, expected_width = size
        raise FormatError(
            f"film strip has frames of {width} x {rows // num_frames} pixels, but "
            f"{expected_width} x {height} in the index"
        )


def encode_logmel(logmel: NDArray[np.float16]) -> bytes:
    """(n_mels, num_mel_frames) float16 -> `.npy` bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(logmel, dtype="<f2"), version=(1, 0))
    return buffer.getvalue()


def decode_logmel(data: bytes | memoryview) -> NDArray[np.float16]:
    """`.npy` bytes -> (n_mels, num_mel_frames) float16. Raises `FormatError` for damaged bytes."""
    # The header has exactly one form. NumPy's own reader evaluates it as Python code, which
    # CPython 3.11 does not do reliably in several threads at once.
    header = _NPY_HEADER.match(data)
    if header is None or int.from_bytes(header[1], "little") + 10 != header.end():
        raise FormatError("log-mel is not a 2-D .npy array of '<f2' in C order")
    shape = (int(header[2]), int(header[3]))
    # Not trusted until the shape matches the number of bytes: it could request any amount of
    # memory.
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


def parse_json(data: bytes | memoryview) -> Any:
    """JSON text -> plain values. Raises `ValueError`, also for NaN and for too deep nesting."""
    try:
        return json.loads(bytes(data), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def member_at(data: memoryview, offset: int, name: str) -> memoryview | None:
    """The member `name` whose tar header is at `offset`; None unless it looks like our writer's.

    For bytes whose CRC-32C was verified; takes a fraction of the time of `split_members`.
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
    """Tar bytes of whole samples -> {clip_id: {member suffix: bytes}}, in order, without copies.

    `data` is any run of consecutive samples of a shard, with or without the end-of-archive blocks.
    Raises `FormatError` when a header is damaged or a member is truncated.
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
            raise FormatError(
                f"tar member {name!r} at byte {offset} is truncated or not a regular file"
            )
        clip_id, _, suffix = name.partition(".")
        members = samples.setdefault(clip_id, {})
        if suffix in members:
            raise FormatError(f"tar member {name!r} at byte {offset} occurs twice")
        members[suffix] = view[start : start + size]
        offset = start + padded(size)
    if offset < len(view) and len(view) - offset < TAR_BLOCK:
        raise FormatError(f"{len(view) - offset} stray bytes after tar byte {offset}")
    return samples


def _plain_member(header: bytes) -> tuple[str, int] | None:
    """Name and size from a header in the form of our writer; None for any other form.

    A third of the time of `tarfile`.
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
    """Name and size from any header of a regular file. Raises `FormatError`."""
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise FormatError(f"damaged tar header at byte {offset}: {error}") from error
    if not info.isreg():
        raise FormatError(
            f"tar member {info.name!r} at byte {offset} is truncated or not a regular file"
        )
    return info.name, info.size


def decode_sample(
    clip_id: str, members: dict[str, memoryview], size: tuple[int, int] | None = None
) -> Sample:
    """The members of one clip -> the decoded clip.

    Raises `FormatError`, naming the clip, also if frames do not have the `size` (height, width).
    """
    missing = [name for name in (FRAMES, LOGMEL, ROW) if name not in members]
    if missing:
        raise FormatError(f"clip {clip_id}: members {missing} are missing")
    try:
        row = parse_json(members[ROW])
        frames = decode_strip(members[FRAMES], int(row["num_frames"]), size)
        return Sample(clip_id, frames, decode_logmel(members[LOGMEL]), row)
    except (FormatError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise FormatError(f"clip {clip_id}: {error}") from error


def padded(size: int) -> int:
    """Bytes that a member of `size` bytes occupies in a tar, not counting its header."""
    return -(-size // TAR_BLOCK) * TAR_BLOCK
