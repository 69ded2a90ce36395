"""Reads and writes lockfiles: Parquet with one row for each movie, and a digest of its content.

`SPEC.md`, section 18, describes the file. It may come from anyone, so everything is checked before
it is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards_spec.dataset.bounds.clip_bounds import check_recipe_bounds
from shards_spec.dataset.bounds.parquet_bounds import get_bounded, read_bounded_table
from shards_spec.dataset.lockfile.lock import LOCK_VERSION, Lock, LockedClips, LockedMovie
from shards_spec.dataset.lockfile.words import FRAMES_PER_CLIP, WORDS_VERSION, num_parts
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError
from shards_spec.layout import is_movie_id
from shards_spec.recipe import MAX_JPEG_SIDE, Recipe
from shards_spec.sample import parse_json
from shards_spec.storage import Storage, normalize_uri

_METADATA = b"reelshards.lock"

#: Columns of a movie that are one value each.
_TEXTS: tuple[str, ...] = (
    "movie_id",
    "group",
    "source_name",
    "source_fingerprint",
    "audio_language",
    "wanted_language",
    "extra",
)
_INTEGERS: tuple[str, ...] = (
    "source_bytes",
    "duration_ns",
    "height",
    "width",
    "wanted_audio_track",
    "wanted_program",
    "clips_not_chosen",
    "dropped_black",
    "dropped_silent",
    "dropped_frozen",
    "dropped_too_short",
    "dropped_damaged",
)
_FLOATS = ("wanted_start_seconds", "wanted_end_seconds")
#: Columns with a list, one value for each clip, or several words.
_LISTS = {
    "clip_number": pa.int32(),
    "start_step": pa.int32(),
    "shard": pa.int32(),
    "shot_id": pa.int32(),
    "num_cuts": pa.int32(),
    "crc32c": pa.uint32(),
    "audio_words": pa.uint64(),
    "frame_words": pa.uint64(),
}
#: Those that repeat or rise; the others do not get smaller.
_DELTAS = ("clip_number", "start_step", "shard", "shot_id", "num_cuts")

_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in _TEXTS]
    + [pa.field(name, pa.int64(), nullable=False) for name in _INTEGERS]
    + [pa.field(name, pa.float64(), nullable=False) for name in _FLOATS]
    + [
        pa.field(name, pa.list_(pa.field("element", kind, nullable=False)), nullable=False)
        for name, kind in _LISTS.items()
    ]
)

#: Highest possible values of lists; none is negative.
_MOST = {"clip_number": 10**9, "start_step": 2**31 - 1, "shard": 10**8, "num_cuts": MAX_JPEG_SIDE}

_REMEDY = "get it again, or make it again with `reelshards lock`"


def write_lock(uri: str, lock: Lock) -> int:
    """Write a lockfile, which appears complete or not at all; returns its size in bytes."""
    header = {**_header(lock.recipe, lock.ffmpeg_version), "digest": lock.digest}
    table = _table(lock.movies).replace_schema_metadata({_METADATA: json.dumps(header).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=False,
        column_encoding={
            f"{name}.list.element": "DELTA_BINARY_PACKED" if name in _DELTAS else "PLAIN"
            for name in _LISTS
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
    table = read_bounded_table(data, f"lockfile {name}")
    header = _checked_header(table, uri)
    recipe = Recipe.from_json(header["recipe"])
    check_recipe_bounds(recipe, name)
    if not table.schema.equals(_SCHEMA) or any(column.null_count for column in table.columns):
        raise FormatError(f"{name} does not have the columns of a lockfile; {_REMEDY}")
    movies = [_movie(table.slice(row, 1), recipe, name) for row in range(table.num_rows)]
    lock = Lock(recipe, movies, header["ffmpeg_version"], header["digest"])
    if digest_of(recipe, movies, lock.ffmpeg_version) != lock.digest:
        raise FormatError(f"{name} was changed after it was written; {_REMEDY}")
    names = [movie.movie_id for movie in movies]
    if names != sorted(set(names)):
        raise FormatError(f"{name}: movies are not sorted, or one occurs twice; {_REMEDY}")
    return lock


def digest_of(recipe: Recipe, movies: Sequence[LockedMovie], ffmpeg_version: str) -> str:
    """SHA-256, 64 hex digits, of the content of a lockfile."""
    digest = hashlib.sha256(_canonical(_header(recipe, ffmpeg_version)))
    for movie in movies:
        values = {name: _value(movie, name) for name in (*_TEXTS, *_INTEGERS, *_FLOATS)}
        digest.update(_canonical(values))
        for name in _LISTS:
            values_of_clips = _list(movie.clips, name)
            digest.update(values_of_clips.astype(values_of_clips.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _header(recipe: Recipe, ffmpeg_version: str) -> dict[str, Any]:
    return {
        "lock_version": LOCK_VERSION,
        "words_version": WORDS_VERSION,
        "ffmpeg_version": ffmpeg_version,
        "recipe": recipe.to_json(),
    }


def _canonical(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def _value(movie: LockedMovie, name: str) -> Any:
    value = getattr(movie, name)
    return json.dumps(dict(value), sort_keys=True) if name == "extra" else value


def _list(clips: LockedClips, name: str) -> NDArray[Any]:
    values: NDArray[Any] = getattr(clips, name)
    return values.ravel()


def _table(movies: Sequence[LockedMovie]) -> pa.Table:
    columns = [
        pa.array([_value(movie, item.name) for movie in movies], item.type)
        for item in _SCHEMA
        if item.name not in _LISTS
    ]
    for name in _LISTS:
        values = [_list(movie.clips, name) for movie in movies]
        offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
        flat = pa.array(np.concatenate(values), _LISTS[name])
        columns.append(
            pa.ListArray.from_arrays(pa.array(offsets), flat, type=_SCHEMA.field(name).type)
        )
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


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
    if version.split(".")[0] != LOCK_VERSION.split(".")[0] or words != WORDS_VERSION:
        raise InputError(
            f"{uri} is a lockfile of version {version} with words of version {words}; this "
            f"reelshards reads {LOCK_VERSION} with {WORDS_VERSION}: use the version that made it, "
            "or lock the dataset again"
        )
    if not is_whole:
        raise FormatError(f"{uri}: its header is damaged; {_REMEDY}")
    return dict(header)


def _movie(row: pa.Table, recipe: Recipe, name: str) -> LockedMovie:
    values = {item: row[item][0].as_py() for item in (*_TEXTS, *_INTEGERS, *_FLOATS)}
    lists = {item: row[item][0].values.to_numpy(zero_copy_only=False) for item in _LISTS}
    movie_id = values["movie_id"]
    where = f"{name}: movie {movie_id!r:.80}"
    try:
        values["extra"] = parse_json(values["extra"].encode())
    except ValueError as error:
        raise FormatError(f"{where}: its further columns are not JSON; {_REMEDY}") from error
    count = len(lists["clip_number"])
    widths = {"audio_words": num_parts(recipe), "frame_words": FRAMES_PER_CLIP}
    is_possible = (
        is_movie_id(movie_id)
        and isinstance(values["extra"], dict)
        and count > 0
        and all(len(lists[item]) == count * widths.get(item, 1) for item in _LISTS)
        and all(not len(array) or int(array.min()) >= 0 for array in lists.values())
        and all(int(lists[item].max()) <= most for item, most in _MOST.items())
        and len(np.unique(lists["clip_number"])) == count
        and not (np.diff(lists["shard"]) < 0).any()
        and values["height"] % 16 == 0
        and 0 < values["height"] <= MAX_JPEG_SIDE // recipe.num_frames
        and 0 < values["width"] <= MAX_JPEG_SIDE
        and values["duration_ns"] > 0
    )
    if not is_possible:
        raise FormatError(f"{where} has impossible values; {_REMEDY}")
    for item, width in widths.items():
        lists[item] = lists[item].reshape(count, width)
    return LockedMovie(**values, clips=LockedClips(**lists))


def _located(uri: str, *, create: bool = False) -> tuple[Storage, str]:
    """The folder or prefix that contains a file, and the file's key in it."""
    folder, _, key = normalize_uri(uri).rpartition("/")
    if not key or folder.endswith("/"):
        raise InputError(f"{uri} does not name a file")
    return Storage(folder, create=create), key
