"""Bounds on the index of a dataset, checked when it is opened.

A dataset may come from anyone. Before its numbers are used to allocate memory, to request bytes or
to build object keys, this module checks them against the recipe and against fixed limits: columns
at a time, well under a second for a million clips. It does not replace `validate`, which checks
every rule of the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec import layout
from shards_spec.errors import FormatError
from shards_spec.recipe import MAX_JPEG_SIDE, Recipe
from shards_spec.sample import TAR_BLOCK
from shards_spec.schema import MOVIES_SCHEMA, STATUSES

#: Bytes of a decoded clip: its frames plus its spectrogram.
MAX_DECODED_BYTES = 1 << 30

#: Bytes of a shard; the largest object that any store accepts is smaller.
MAX_SHARD_BYTES = 1 << 44

#: Bytes of a clip's members other than frames, spectrogram and audio, and of tar headers.
MAX_OTHER_BYTES = 1 << 26

#: Rows checked at a time, which bounds the memory that this takes.
_BLOCK = 1 << 20

#: Length of a movie, nanoseconds: 30 days.
MAX_TIME_NS = 30 * 24 * 3600 * 10**9

_MOVIE_ID = r"^[a-z0-9_-]{1,64}$"
_CLIP_ID = r"^[a-z0-9_-]{1,64}_[0-9]{6,10}$"

#: Highest possible values of columns of movies; the lowest is 0.
_MOVIE_LIMITS = {
    "num_clips": 1 << 31,
    "num_shards": 1 << 31,
    "shard_bytes": 1 << 54,
    "duration_ns": MAX_TIME_NS,
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
                _refuse(clips, column, first + int(np.argmin(is_good)), expected, name)
    _check_shards(clips, name)
    _check_clip_ids(clips, name)


def check_movie_bounds(movies: pa.Table, name: str) -> None:
    """Raise `FormatError` for the first row of a table of movies with an impossible value.

    Columns that the table does not have are not checked. The message names `name`, row and column.
    """
    # Columns that a manifest added may have nulls.
    for column in {*movies.schema.names} & {*MOVIES_SCHEMA.names}:
        if movies[column].null_count:
            raise FormatError(f"{name}: column {column} has {movies[column].null_count} nulls")
    is_id = pc.match_substring_regex(movies["movie_id"], _MOVIE_ID)
    _require(movies, "movie_id", is_id, "1 to 64 characters of a-z, 0-9, _ and -", name)
    is_status = pc.is_in(movies["status"], pa.array(STATUSES))
    _require(movies, "status", is_status, f"one of {', '.join(STATUSES)}", name)
    if pc.count_distinct(movies["movie_id"]).as_py() != movies.num_rows:
        raise FormatError(f"{name}: a movie_id occurs more than once")
    for column, most in _MOVIE_LIMITS.items():
        values = movies[column]
        is_good = pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, most))
        _require(movies, column, is_good, f"0 to {most}", name)


def check_clips_of_movies(clips: pa.Table, movies: pa.Table, name: str) -> None:
    """Raise `FormatError` unless every movie has as many clips as its row in `movies` says."""
    counted = clips.group_by("movie_id").aggregate([([], "count_all")])
    joined = movies.select(["movie_id", "num_clips"]).join(
        counted, "movie_id", join_type="full outer", use_threads=False
    )
    counts = pc.fill_null(joined["count_all"], 0)
    differs = joined.filter(pc.not_equal(counts, pc.fill_null(joined["num_clips"], -1)))
    if differs.num_rows:
        row = differs.slice(0, 1).to_pylist()[0]
        raise FormatError(
            f"{name}: movie {row['movie_id']!r} has {row['count_all'] or 0} clips, but "
            f"num_clips is {row['num_clips']}; check the dataset with `validate`"
        )


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
    # Rows are sorted, so only those where a movie or a shard begins need to be looked at.
    is_first = np.ones(clips.num_rows, dtype=bool)
    is_first[1:] = np.diff(codes[0]).astype(bool) | np.diff(codes[1]).astype(bool)
    rows = np.flatnonzero(is_first)
    firsts = clips.select(["movie_id", "shard"]).take(pa.array(rows))
    for row, movie_id, shard in zip(
        rows.tolist(), firsts["movie_id"].to_pylist(), firsts["shard"].to_pylist(), strict=True
    ):
        if not layout.is_movie_id(movie_id):
            _refuse(clips, "movie_id", row, "1 to 64 characters of a-z, 0-9, _ and -", name)
        prefix, _, number = shard.removesuffix(".tar").rpartition("-")
        is_good = prefix == layout.shard_key(movie_id, 0)[: -len("-00000.tar")]
        if not (is_good and shard.endswith(".tar") and number.isascii() and number.isdigit()):
            _refuse(clips, "shard", row, f"such as {layout.shard_key(movie_id, 0)}", name)

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
        _refuse(clips, "tar_offset", row, f"{expected[row]}, the end of the previous clip", name)


def _check_clip_ids(clips: pa.Table, name: str) -> None:
    if "clip_id" in clips.schema.names:
        is_id = pc.match_substring_regex(clips["clip_id"], _CLIP_ID)
        _require(clips, "clip_id", is_id, "a movie id, _ and at least six digits", name)


def _require(
    table: pa.Table, column: str, is_good: pa.ChunkedArray, expected: str, name: str
) -> None:
    """Raise `FormatError` for the first row that is not good."""
    row = pc.index(is_good, False).as_py()
    if row >= 0:
        _refuse(table, column, row, expected, name)


def _refuse(clips: pa.Table, column: str, row: int, expected: str, name: str) -> None:
    names = clips.schema.names
    clip = f" (clip {clips['clip_id'][row].as_py()!r})" if "clip_id" in names else ""
    raise FormatError(
        f"{name}: row {row}{clip}: {column} is {clips[column][row].as_py()!r}, expected "
        f"{expected}; the index is corrupt or was not written by reelshards: check the dataset "
        "with `validate`, and do not use it if you do not trust its source"
    )
