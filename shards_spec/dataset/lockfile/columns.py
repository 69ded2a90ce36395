"""The columns of a lockfile, and the digest of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards_spec.dataset.lockfile.lock import FIRST_VERSION, LockedMovie
from shards_spec.dataset.lockfile.words import WORDS_VERSION
from shards_spec.recipe import Recipe

#: Columns with one value per movie.
TEXTS: tuple[str, ...] = (
    "movie_id",
    "group",
    "source_name",
    "source_fingerprint",
    "audio_language",
    "wanted_language",
    "extra",
)
INTEGERS: tuple[str, ...] = (
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
FLOATS = ("wanted_start_seconds", "wanted_end_seconds")

#: Columns with a list per movie: one value per clip, or several words.
CLIP_LISTS = {
    "clip_number": pa.int32(),
    "start_step": pa.int32(),
    "shard": pa.int32(),
    "shot_id": pa.int32(),
    "num_cuts": pa.int32(),
    "crc32c": pa.uint32(),
    "audio_words": pa.uint64(),
    "frame_words": pa.uint64(),
}

#: Columns with one value per dropped clip: this prefix and the fields of `LockedDrops`.
DROP_PREFIX = "drop_"
DROP_LISTS = {
    "drop_clip_number": pa.int32(),
    "drop_start_ns": pa.int64(),
    "drop_end_ns": pa.int64(),
    "drop_reason": pa.int32(),
}

#: Columns stored as differences, which compress better: their values repeat or rise.
DELTAS = ("clip_number", "start_step", "shard", "shot_id", "num_cuts", *DROP_LISTS)


def lists(version: str) -> dict[str, pa.DataType]:
    """The list columns, and the types of their values."""
    return CLIP_LISTS if version == FIRST_VERSION else {**CLIP_LISTS, **DROP_LISTS}


def schema(version: str) -> pa.Schema:
    """All columns, in order."""
    plain = [(TEXTS, pa.string()), (INTEGERS, pa.int64()), (FLOATS, pa.float64())]
    fields = [pa.field(name, kind, nullable=False) for names, kind in plain for name in names]
    for name, kind in lists(version).items():
        element = pa.field("element", kind, nullable=False)
        fields.append(pa.field(name, pa.list_(element), nullable=False))
    return pa.schema(fields)


def header(recipe: Recipe, ffmpeg_version: str, version: str) -> dict[str, Any]:
    """What a lockfile says about all of its movies, without the digest."""
    return {
        "lock_version": version,
        "words_version": WORDS_VERSION,
        "ffmpeg_version": ffmpeg_version,
        "recipe": recipe.to_json(),
    }


def table_of(movies: Sequence[LockedMovie], version: str) -> pa.Table:
    """One row for each movie."""
    columns = []
    for item in schema(version):
        if item.name not in lists(version):
            columns.append(pa.array([_value(movie, item.name) for movie in movies], item.type))
            continue
        values = [_list(movie, item.name) for movie in movies]
        offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
        flat = pa.array(np.concatenate(values), item.type.value_type)
        columns.append(pa.ListArray.from_arrays(pa.array(offsets), flat, type=item.type))
    return pa.Table.from_arrays(columns, schema=schema(version))


def digest_of(
    recipe: Recipe, movies: Sequence[LockedMovie], ffmpeg_version: str, version: str
) -> str:
    """SHA-256, 64 hex digits, of the content of a lockfile."""
    digest = hashlib.sha256(_canonical(header(recipe, ffmpeg_version, version)))
    for movie in movies:
        values = {name: _value(movie, name) for name in (*TEXTS, *INTEGERS, *FLOATS)}
        digest.update(_canonical(values))
        for name in lists(version):
            array = _list(movie, name)
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def _canonical(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def _value(movie: LockedMovie, name: str) -> Any:
    value = getattr(movie, name)
    return json.dumps(dict(value), sort_keys=True) if name == "extra" else value


def _list(movie: LockedMovie, name: str) -> NDArray[Any]:
    owner = movie.drops if name in DROP_LISTS else movie.clips
    values: NDArray[Any] = getattr(owner, name.removeprefix(DROP_PREFIX))
    return values.ravel()
