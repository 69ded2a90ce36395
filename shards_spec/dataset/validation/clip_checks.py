"""Checks of the bytes of one clip: pure functions of bytes and row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from shards_spec.dataset.validation.report import Problem
from shards_spec.dataset.writer import tar_sample
from shards_spec.errors import ChecksumError, FormatError
from shards_spec.recipe import Recipe
from shards_spec.sample import (
    AUDIO,
    FRAMES,
    LOGMEL,
    ROW,
    check_crc32c,
    decode_logmel,
    decode_strip,
    parse_json,
    split_members,
)
from shards_spec.schema import ClipRow
from shards_spec.schema.columns import LOCATION_COLUMNS
from shards_spec.schema.tables import row_values

#: Columns that the `.json` member lacks or may have an older value of.
IGNORED_COLUMNS = (*LOCATION_COLUMNS, "group")

#: Lowest value of a log-mel: ln(1e-10) is -23.026, and the nearest float16 -23.031.
MIN_LOGMEL = -23.032

Members = Mapping[str, memoryview]


def clip_problems(data: memoryview, row: ClipRow, recipe: Recipe) -> Iterator[Problem]:
    """All problems with the byte range of one clip."""
    try:
        check_crc32c(data, row)
    except ChecksumError as error:
        yield Problem("checksum", row.shard, str(error), row.clip_id)
    try:
        members = _members(data, row, recipe)
    except FormatError as error:
        yield Problem("members", row.shard, str(error), row.clip_id)
        return
    for name, check in _CHECKS.items():
        try:
            check(members, row, recipe)
        except FormatError as error:
            yield Problem(name, row.shard, str(error), row.clip_id)


def _members(data: memoryview, row: ClipRow, recipe: Recipe) -> Members:
    samples = split_members(data)
    if list(samples) != [row.clip_id]:
        raise FormatError(f"contains {', '.join(samples) or 'nothing'}")
    members = samples[row.clip_id]
    expected = {FRAMES, LOGMEL, ROW} | ({AUDIO} if recipe.store_audio else set())
    if missing := sorted(expected - set(members)):
        raise FormatError(f"lacks {', '.join(missing)}")
    # These members have only one valid tar form: order, header values and padding are fixed.
    written = tar_sample(row.clip_id, {name: bytes(value) for name, value in members.items()})
    if written != data:
        raise FormatError("order of members, tar headers or padding differ from the format")
    return members


def check_frames(members: Members, row: ClipRow, recipe: Recipe) -> None:
    """The film strip is a baseline JPEG, 8 bits of YCbCr, with the shape in the index."""
    data = bytes(members[FRAMES])
    marker, num_bits, num_components = _frame_header(data)
    if marker != 0xC0:
        raise FormatError("film strip is not a baseline JPEG")
    if (num_bits, num_components) != (8, 3):
        raise FormatError(
            f"film strip has {num_components} components of {num_bits} bits, not 3 of 8"
        )
    shape = decode_strip(data, row.num_frames, (row.height, row.width)).shape
    expected = (row.num_frames, row.height, row.width, 3)
    if shape != expected:
        raise FormatError(f"film strip is {shape}, but {expected} in the index")


def check_logmel(members: Members, row: ClipRow, recipe: Recipe) -> None:
    """The log-mel has the recipe's shape and only valid values."""
    logmel = decode_logmel(members[LOGMEL])
    expected = (recipe.n_mels, recipe.num_mel_frames)
    if logmel.shape != expected:
        raise FormatError(f"log-mel is {logmel.shape}, but {expected} in the recipe")
    if not np.isfinite(logmel).all():
        raise FormatError("log-mel has values that are not finite")
    if logmel.min() < MIN_LOGMEL:
        raise FormatError(f"log-mel has the value {logmel.min()}, which is below ln(1e-10)")


def check_audio(members: Members, row: ClipRow, recipe: Recipe) -> None:
    """The optional FLAC stream is mono, with the recipe's rate and the length in the index."""
    if AUDIO not in members:
        return
    head = bytes(members[AUDIO][:26])
    if len(head) < 26 or head[:4] != b"fLaC" or head[4] & 0x7F != 0:
        raise FormatError("audio is not a FLAC stream")
    # STREAMINFO: 20 bits rate, 3 bits channels - 1, 5 bits depth - 1, 36 bits samples.
    packed = int.from_bytes(head[18:26], "big")
    actual = (packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1)
    expected = (recipe.sample_rate_hz, 1, row.num_audio_samples)
    if actual != expected:
        raise FormatError(f"audio has (rate, channels, samples) {actual}, expected {expected}")


def check_row(members: Members, row: ClipRow, recipe: Recipe) -> None:
    """The `.json` member equals the index's row without `LOCATION_COLUMNS`.

    Its `group` may be older: groups change without the shards being written again.
    """
    try:
        member = parse_json(members[ROW])
    except ValueError as error:
        raise FormatError(f".json is not JSON: {error}") from error
    if not isinstance(member, dict):
        raise FormatError(".json is not a JSON object")
    for name, value in row_values(row).items():
        if name not in IGNORED_COLUMNS and member.get(name) != value:
            raise FormatError(f"{name} is {member.get(name)!r} in .json, {value!r} in the index")


_CHECKS = {
    "frames": check_frames,
    "logmel": check_logmel,
    "audio": check_audio,
    "row": check_row,
}


def _frame_header(data: bytes) -> tuple[int, int, int]:
    """A JPEG's start of frame: second byte of its marker (0xC0: baseline), bits, components.

    Zeros if there is none.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            header = data[position + 4 : position + 10].ljust(6, b"\0")
            return marker, header[0], header[5]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return 0, 0, 0
