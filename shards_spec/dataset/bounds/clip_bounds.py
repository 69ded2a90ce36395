"""Bounds on the recipe and the table of clips of a dataset, checked when it is opened.

A dataset may come from anyone. Before its numbers are used to allocate memory, to request bytes or
to build object keys, this module checks them against the recipe and against fixed limits: columns
at a time, well under a second for a million clips. It does not replace `validate`, which checks
every rule of the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec import layout
from shards_spec.dataset.bounds.movie_bounds import MAX_TIME_NS
from shards_spec.dataset.bounds.refusal import ADVICE, refuse_row, require_rows
from shards_spec.errors import FormatError
from shards_spec.recipe import MAX_JPEG_SIDE, NANOSECONDS, Recipe
from shards_spec.sample import TAR_BLOCK

#: Bytes of a decoded clip: its frames plus its spectrogram.
MAX_DECODED_BYTES = 1 << 30

#: Bytes of a shard; the largest object that any store accepts is smaller.
MAX_SHARD_BYTES = 1 << 44

#: Bytes of a clip's members other than frames, spectrogram and audio, and of tar headers.
MAX_OTHER_BYTES = 1 << 26

#: Rows checked at a time, which bounds the memory that this takes.
_BLOCK = 1 << 20

_CLIP_ID = r"^[a-z0-9_-]{1,64}_[0-9]{6,10}$"

#: Lowest and highest possible values of columns that no other rule bounds. Measured values are far
#: inside of them, but need not be exact.
_LIMITS = {
    # Of the recipe, but of the former one while movies are processed again with another.
    "fps": (1e-3, 1e3),
    "sample_rate_hz": (1, 10_000_000),
    "num_audio_samples": (0, (1 << 31) - 1),
    "clip_number": (0, (1 << 31) - 1),
    "first_frame_pts_ns": (-MAX_TIME_NS, MAX_TIME_NS),
    "shot_id": (0, (1 << 31) - 1),
    "num_cuts": (0, MAX_JPEG_SIDE),
    "av_skew_ns": (-NANOSECONDS, NANOSECONDS),
    "filled_audio_ns": (0, MAX_TIME_NS),
    "luma_mean": (0, 256),
    "luma_std": (0, 256),
    "motion": (0, 256),
    "audio_rms_dbfs": (-1000, 1000),
    "audio_peak_dbfs": (-1000, 1000),
}


def check_recipe_bounds(recipe: Recipe, name: str) -> None:
    """Raise `FormatError`, naming `name`, when decoded clips of a recipe would be too large."""
    num_bytes = (
        3 * recipe.num_frames * recipe.short_side**2
        + 2 * recipe.n_mels * recipe.num_mel_frames
        + 4 * recipe.clip_samples
    )
    if num_bytes > MAX_DECODED_BYTES:
        raise FormatError(
            f"{name}: a decoded clip of this recipe has at least {num_bytes:,} bytes, more than "
            f"the limit of {MAX_DECODED_BYTES:,}; the recipe is corrupt"
        )


def check_clip_bounds(clips: pa.Table, recipe: Recipe, name: str) -> None:
    """Raise `FormatError` for the first row of a table of clips with an impossible value.

    Columns that the table does not have are not checked. The message names `name`, row, clip,
    column and value.
    """
    for column in clips.schema.names:
        if clips[column].null_count:
            raise FormatError(f"{name}: column {column} has {clips[column].null_count} nulls")
    for first in range(0, clips.num_rows, _BLOCK):
        block = clips.slice(first, _BLOCK)
        values = {
            item.name: block[item.name].to_numpy()
            for item in clips.schema
            if pa.types.is_integer(item.type) or pa.types.is_floating(item.type)
        }
        for column, is_good, expected in _conditions(values, recipe):
            if not is_good.all():
                refuse_row(clips, column, first + int(np.argmin(is_good)), expected, name)
    _check_shards(clips, name)
    _check_clip_ids(clips, name)


def _conditions(
    values: Mapping[str, NDArray[np.generic]], recipe: Recipe
) -> Iterator[tuple[str, NDArray[np.bool_], str]]:
    """Column, (num_rows,) bool whether its values are possible, and what is."""
    for column, numbers in values.items():
        if np.issubdtype(numbers.dtype, np.floating):
            yield column, np.isfinite(numbers), "a finite number"
    if {"height", "width"} <= set(values):
        height, width = (values[side].astype(np.int64) for side in ("height", "width"))
        last = MAX_JPEG_SIDE // recipe.num_frames
        yield "height", (height >= 1) & (height <= last), f"1 to {last}"
        yield "width", (width >= 1) & (width <= MAX_JPEG_SIDE), f"1 to {MAX_JPEG_SIDE}"
        frames_bytes = 3 * recipe.num_frames * height * width
        limit = f"a clip of at most {MAX_DECODED_BYTES:,} bytes when decoded"
        yield "height", frames_bytes <= MAX_DECODED_BYTES, limit
        # A JPEG of noise at the highest quality is smaller than twice its pixels.
        largest = (
            2 * frames_bytes
            + 2 * recipe.n_mels * recipe.num_mel_frames
            + 8 * recipe.clip_samples
            + MAX_OTHER_BYTES
        )
        yield from _range_conditions(values, largest)
    if "num_frames" in values:
        is_good = values["num_frames"] == recipe.num_frames
        yield "num_frames", is_good, f"{recipe.num_frames} as in the recipe"
    for column, (low, high) in _LIMITS.items():
        if column in values:
            limited: Any = values[column]
            yield column, (limited >= low) & (limited <= high), f"{low} to {high}"
    if {"start_ns", "end_ns"} <= set(values):
        start, end = (values[side].astype(np.int64) for side in ("start_ns", "end_ns"))
        yield "start_ns", (start >= 0) & (start < MAX_TIME_NS), f"0 to {MAX_TIME_NS}"
        yield "end_ns", (end > start) & (end <= MAX_TIME_NS), "after start_ns, within 30 days"


def _range_conditions(
    values: Mapping[str, NDArray[np.generic]], largest: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.bool_], str]]:
    if not {"tar_offset", "tar_bytes"} <= set(values):
        return
    offset, length = (values[name].astype(np.int64) for name in ("tar_offset", "tar_bytes"))
    yield (
        "tar_bytes",
        (length >= TAR_BLOCK) & (length <= largest) & (length % TAR_BLOCK == 0),
        f"a positive multiple of {TAR_BLOCK}, as large as a clip of this recipe can be",
    )
    yield (
        "tar_offset",
        (offset >= 0) & (offset <= MAX_SHARD_BYTES) & (offset % TAR_BLOCK == 0),
        f"a multiple of {TAR_BLOCK} from 0 to {MAX_SHARD_BYTES}",
    )


def _check_shards(clips: pa.Table, name: str) -> None:
    """Raise `FormatError` for a shard whose key is not that of a shard of the clip's movie."""
    if not {"shard", "movie_id"} <= set(clips.schema.names) or not clips.num_rows:
        return
    codes = []
    for column in ("movie_id", "shard"):
        encoded = clips[column].combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        codes.append(np.asarray(encoded.indices))
    # In sorted rows, only those where a movie or a shard begins need to be looked at.
    is_first = np.ones(clips.num_rows, dtype=bool)
    is_first[1:] = np.diff(codes[0]).astype(bool) | np.diff(codes[1]).astype(bool)
    rows = np.flatnonzero(is_first)
    firsts = clips.select(["movie_id", "shard"]).take(pa.array(rows))
    for row, movie_id, shard in zip(
        rows.tolist(), firsts["movie_id"].to_pylist(), firsts["shard"].to_pylist(), strict=True
    ):
        if not layout.is_movie_id(movie_id):
            refuse_row(clips, "movie_id", row, "1 to 64 characters of a-z, 0-9, _ and -", name)
        prefix, _, number = shard.removesuffix(".tar").rpartition("-")
        is_good = prefix == layout.shard_key(movie_id, 0)[: -len("-00000.tar")]
        if not (is_good and shard.endswith(".tar") and number.isascii() and number.isdigit()):
            refuse_row(clips, "shard", row, f"such as {layout.shard_key(movie_id, 0)}", name)
    # Numbers are given by first appearance, so those of sorted rows never decrease.
    for column, numbers in zip(("movie_id", "shard"), codes, strict=True):
        if (np.diff(numbers) < 0).any():
            row = int(np.argmax(np.diff(numbers) < 0)) + 1
            refuse_row(clips, column, row, "rows sorted by movie and shard", name)
    _check_adjacent(clips, is_first, name)


def _check_adjacent(clips: pa.Table, is_first: NDArray[np.bool_], name: str) -> None:
    """Raise `FormatError` unless clips follow each other in their shards without gaps."""
    if not {"tar_offset", "tar_bytes"} <= set(clips.schema.names):
        return
    offset, length = (clips[column].to_numpy() for column in ("tar_offset", "tar_bytes"))
    expected = np.zeros_like(offset)
    expected[1:] = np.where(is_first[1:], 0, offset[:-1] + length[:-1])
    if not (is_good := offset == expected).all():
        row = int(np.argmin(is_good))
        refuse_row(clips, "tar_offset", row, f"{expected[row]}, the end of the previous clip", name)


def _check_clip_ids(clips: pa.Table, name: str) -> None:
    """Raise `FormatError` for a malformed clip id, and with clip numbers also for a wrong one."""
    if "clip_id" not in clips.schema.names:
        return
    is_id = pc.match_substring_regex(clips["clip_id"], _CLIP_ID)
    require_rows(clips, "clip_id", is_id, "a movie id, _ and at least six digits", name)
    if not {"clip_number", "movie_id"} <= set(clips.schema.names):
        return
    number = pc.utf8_lpad(pc.cast(clips["clip_number"], pa.string()), 6, "0")
    ids = pc.binary_join_element_wise(clips["movie_id"].cast(pa.string()), number, "_")
    is_own = pc.equal(ids, clips["clip_id"])
    require_rows(clips, "clip_id", is_own, "the id of its movie, _ and its clip_number", name)
    if pc.count_distinct(clips["clip_id"]).as_py() != clips.num_rows:
        raise FormatError(f"{name}: a clip_id occurs more than once; {ADVICE}")
