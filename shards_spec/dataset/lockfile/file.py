"""Reads and writes lockfiles: Parquet with one row for each movie, and a digest of its content.

`SPEC.md`, section 18, describes the file. It may come from anyone, so everything is checked before
it is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec.dataset.bounds.clip_bounds import check_recipe_bounds
from shards_spec.dataset.bounds.parquet_bounds import get_bounded, read_bounded_table
from shards_spec.dataset.lockfile import columns
from shards_spec.dataset.lockfile.lock import (
    FIRST_VERSION,
    LOCK_VERSION,
    Lock,
    LockedClips,
    LockedDrops,
    LockedMovie,
)
from shards_spec.dataset.lockfile.words import FRAMES_PER_CLIP, WORDS_VERSION, num_parts
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError
from shards_spec.layout import is_movie_id
from shards_spec.recipe import MAX_JPEG_SIDE, Recipe
from shards_spec.sample import parse_json
from shards_spec.schema.dropped import DROP_REASONS, NO_CLIP
from shards_spec.storage import Storage, normalize_uri

_METADATA = b"reelshards.lock"

#: Highest possible values of lists; none is negative.
_MOST = {"clip_number": 10**9, "start_step": 2**31 - 1, "shard": 10**8, "num_cuts": MAX_JPEG_SIDE}

_REMEDY = "get it again, or make it again with `reelshards lock`"


def write_lock(uri: str, lock: Lock) -> int:
    """Write a lockfile, which appears complete or not at all; returns its size in bytes."""
    header = columns.header(lock.recipe, lock.ffmpeg_version, lock.version)
    header["digest"] = lock.digest
    table = columns.table_of(lock.movies, lock.version)
    table = table.replace_schema_metadata({_METADATA: json.dumps(header).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=False,
        column_encoding={
            f"{name}.list.element": "DELTA_BINARY_PACKED" if name in columns.DELTAS else "PLAIN"
            for name in columns.lists(lock.version)
        },
    )
    data = bytes(sink.getvalue())
    storage, key = _located(uri, create=True)
    storage.put(key, data)
    return len(data)


def read_lock(uri: str) -> Lock:
    """Read a lockfile.

    Raises:
        InputError: there is none, it is not a lockfile, or it has another major version.
        FormatError: it is truncated or was changed.
        StorageError: its store cannot be read.
    """
    storage, key = _located(uri)
    name = storage.uri_of(key)
    try:
        data = get_bounded(storage, key)
    except ObjectNotFoundError as error:
        raise InputError(
            f"{uri} does not exist; make a lockfile with: reelshards lock DATASET --out FILE"
        ) from error
    if not data.startswith(b"PAR1"):
        raise InputError(f"{uri} is not a lockfile; make one with: reelshards lock DATASET")
    try:
        table = read_bounded_table(data, f"lockfile {name}")
    except FormatError as error:
        raise FormatError(f"{error}; {_REMEDY}") from error
    header = _checked_header(table, uri)
    recipe = Recipe.from_json(header["recipe"])
    check_recipe_bounds(recipe, name)
    version = header["lock_version"]
    schema = columns.schema(version)
    if not table.schema.equals(schema) or any(column.null_count for column in table.columns):
        raise FormatError(f"{name} does not have the columns of a lockfile; {_REMEDY}")
    movies = [_movie(row, recipe, name) for row in _rows(table)]
    digest = columns.digest_of(recipe, movies, header["ffmpeg_version"], version)
    if digest != header["digest"]:
        raise FormatError(f"{name} was changed after it was written; {_REMEDY}")
    names = [movie.movie_id for movie in movies]
    if names != sorted(set(names)):
        raise FormatError(f"{name}: movies are not sorted, or one occurs twice; {_REMEDY}")
    return Lock(recipe, movies, header["ffmpeg_version"], digest, version)


def _checked_header(table: pa.Table, uri: str) -> dict[str, Any]:
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    if _METADATA not in metadata:
        raise InputError(f"{uri} is Parquet, but not a lockfile")
    try:
        header = parse_json(metadata[_METADATA])
        version, words = str(header["lock_version"]), str(header["words_version"])
        is_whole = isinstance(header["recipe"], dict) and isinstance(header["digest"], str)
        header["ffmpeg_version"] = str(header["ffmpeg_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{uri}: its header is damaged ({error}); {_REMEDY}") from error
    if version not in (FIRST_VERSION, LOCK_VERSION) or words != WORDS_VERSION:
        raise InputError(
            f"{uri} is a lockfile of version {version} with words of version {words}; this "
            f"reelshards reads {FIRST_VERSION} and {LOCK_VERSION} with {WORDS_VERSION}: use the "
            "version that made it, or lock the dataset again"
        )
    if not is_whole:
        raise FormatError(f"{uri}: its header is damaged; {_REMEDY}")
    return {**header, "lock_version": version}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows, with arrays for lists."""
    names = [item.name for item in table.schema if not pa.types.is_list(item.type)]
    plain = table.select(names).to_pylist()
    arrays = {}
    for item in table.schema:
        if item.name not in names:
            column = table[item.name].combine_chunks()
            offsets = column.offsets.to_numpy()
            arrays[item.name] = column.values.to_numpy(zero_copy_only=False), offsets
    for number, values in enumerate(plain):
        lists = {
            name: array[offsets[number] : offsets[number + 1]]
            for name, (array, offsets) in arrays.items()
        }
        yield {**values, **lists}


def _movie(row: dict[str, Any], recipe: Recipe, name: str) -> LockedMovie:
    values = {item: row[item] for item in (*columns.TEXTS, *columns.INTEGERS, *columns.FLOATS)}
    clips = {item: row[item] for item in columns.CLIP_LISTS}
    where = f"{name}: movie {values['movie_id']!r:.80}"
    try:
        values["extra"] = parse_json(values["extra"].encode())
    except ValueError as error:
        raise FormatError(f"{where}: its further columns are not JSON; {_REMEDY}") from error
    count = len(clips["clip_number"])
    widths = {"audio_words": num_parts(recipe), "frame_words": FRAMES_PER_CLIP}
    are_clips = (
        count > 0
        and all(len(clips[item]) == count * widths.get(item, 1) for item in clips)
        and all(not len(array) or int(array.min()) >= 0 for array in clips.values())
        and all(int(clips[item].max()) <= most for item, most in _MOST.items())
        and len(np.unique(clips["clip_number"])) == count
        and not (np.diff(clips["shard"]) < 0).any()
    )
    drops = LockedDrops.none()
    if all(item in row for item in columns.DROP_LISTS):
        drops = LockedDrops(*(row[item] for item in columns.DROP_LISTS))
    if not are_clips or not _is_possible(values, recipe) or not _are_drops(drops):
        raise FormatError(f"{where} has impossible values; {_REMEDY}")
    for item, width in widths.items():
        clips[item] = clips[item].reshape(count, width)
    return LockedMovie(**values, clips=LockedClips(**clips), drops=drops)


def _is_possible(values: dict[str, Any], recipe: Recipe) -> bool:
    return (
        is_movie_id(values["movie_id"])
        and isinstance(values["extra"], dict)
        and values["height"] % 16 == 0
        and 0 < values["height"] <= MAX_JPEG_SIDE // recipe.num_frames
        and 0 < values["width"] <= MAX_JPEG_SIDE
        and values["duration_ns"] > 0
    )


def _are_drops(drops: LockedDrops) -> bool:
    count = len(drops)
    arrays = (drops.clip_number, drops.start_ns, drops.end_ns)
    return not count or bool(
        all(len(array) == count for array in arrays)
        and (drops.clip_number >= NO_CLIP).all()
        and (drops.start_ns >= 0).all()
        and (drops.start_ns < drops.end_ns).all()
        and drops.reason.min() >= 0
        and drops.reason.max() < len(DROP_REASONS)
    )


def _located(uri: str, *, create: bool = False) -> tuple[Storage, str]:
    """The folder or prefix that contains a file, and the file's key in it."""
    folder, _, key = normalize_uri(uri).rpartition("/")
    if not key or folder.endswith("/"):
        raise InputError(f"{uri} does not name a file")
    storage = Storage(folder, create=create)
    if storage.is_local and Path(storage.local_path(key)).is_dir():
        raise InputError(f"{uri} is a folder, not a file")
    return storage, key
