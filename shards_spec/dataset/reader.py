"""Reads a dataset: `dataset.json`, the two tables of the index, and clips by ranged reads."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec import layout
from shards_spec.dataset.bounds import check_shards
from shards_spec.dataset.bounds.clip_bounds import check_clip_bounds, check_recipe_bounds
from shards_spec.dataset.bounds.links import check_links
from shards_spec.dataset.bounds.movie_bounds import check_clips_of_movies, check_movie_bounds
from shards_spec.dataset.bounds.parquet_bounds import get_bounded, read_bounded_table
from shards_spec.dataset.dropped import read_dropped
from shards_spec.dataset.duplicates import read_duplicates, with_duplicates
from shards_spec.dataset.labels.tables import read_clip_labels
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError
from shards_spec.recipe import Recipe
from shards_spec.sample import Sample, check_crc32c, decode_sample, parse_json, split_members
from shards_spec.schema import SPEC_VERSION, ClipRow
from shards_spec.schema.tables import (
    CLIPS_SCHEMA,
    MOVIES_SCHEMA,
    clip_rows,
    require_columns,
    row_values,
)
from shards_spec.storage import Storage

#: Attempts to open a dataset whose index is being replaced, and the time between them.
OPEN_ATTEMPTS, OPEN_WAIT_SECONDS = 4, 0.5

#: Most bytes of `dataset.json`; it usually has a few thousand.
MAX_INFO_BYTES = 16 * 1024 * 1024


class Clip(NamedTuple):
    """One clip, decoded."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3) uint8 RGB."""
    logmel: NDArray[np.float16]
    """(n_mels, num_mel_frames) float16, natural log of mel power."""
    row: dict[str, Any]
    """The clip's row of the index, by column."""


@dataclass(frozen=True)
class Movie:
    """One movie of a dataset that has clips."""

    row: dict[str, Any]
    """The movie's row of the index, by column."""
    clips: pa.Table
    """Its rows of `Dataset.clips`."""

    @property
    def movie_id(self) -> str:
        """Its id."""
        return str(self.row["movie_id"])

    def __repr__(self) -> str:
        return f"Movie({self.movie_id!r}, {self.clips.num_rows} clips)"


@dataclass(frozen=True)
class Dataset:
    """An opened dataset: its index is in memory, its clips are read on request.

    Iterating over it yields the movies that have clips, in the order of the index.
    """

    storage: Storage
    recipe: Recipe
    info: dict[str, Any]
    """Content of `dataset.json`."""
    movies: pa.Table
    """`MOVIES_SCHEMA`, sorted by movie_id."""
    clips: pa.Table
    """`CLIPS_SCHEMA`, sorted by (movie_id, shard, tar_offset)."""
    fingerprint: str
    """16 hex digits that change with the table of clips, and with the one of near-duplicates."""
    duplicates: pa.Table | None = None
    """`DUPLICATES_SCHEMA`: spans of movies that show or play the same; None if they were not
    searched."""
    clips_fingerprint: str = ""
    """16 hex digits that change with the table of clips alone; empty if that is not known."""

    def clip(self, clip_id: str) -> Clip:
        """Fetch and decode one clip.

        Raises:
            InputError: there is no such clip.
            FormatError: its bytes are damaged; `ChecksumError` if they differ from the index.
            StorageError: the store cannot be read.
        """
        row = clip_rows(self.clips.take(self.rows_of([clip_id])))[0]
        sample = read_clips(self.storage, [row])[0]
        return Clip(sample.frames, sample.logmel, row_values(row))

    def labels(self, name: str) -> pa.Table:
        """Labels and texts by clip, as `reelshards label` has imported them: `clip_id`, `label`,
        `text`, `overlap` and more, one row for each clip and label.

        Raises `InputError` if there are none of that name, `FormatError` if they are damaged.
        """
        return read_clip_labels(self.storage, name, self.clips, self.clips_fingerprint)[0]

    def dropped(self) -> pa.Table | None:
        """The clips that rules dropped, `DROPPED_SCHEMA`; None if only their numbers are known.

        Movies that were committed before the format had this table are missing from it. Raises
        `FormatError` if it is damaged.
        """
        return read_dropped(self.storage, self.clips_fingerprint)

    def rows_of(self, clip_ids: Sequence[str]) -> list[int]:
        """Row numbers of clips in the clips table. Raises `InputError` for an unknown id."""
        clips = self.clips["clip_id"].combine_chunks()
        rows: list[int | None] = pc.index_in(pa.array(clip_ids, pa.string()), clips).to_pylist()
        for name, row in zip(clip_ids, rows, strict=True):
            if row is None:
                raise InputError(f"{self.storage.uri} has no clip {name!r}")
        return [row for row in rows if row is not None]

    def __iter__(self) -> Iterator[Movie]:
        """The movies that have clips, in the order of the index."""
        runs = pc.run_end_encode(self.clips["movie_id"].combine_chunks())
        ends: list[int] = runs.run_ends.to_pylist()
        names = self.movies["movie_id"].combine_chunks()
        for name, first, end in zip(runs.values, [0, *ends], ends, strict=False):
            row = self.movies.slice(names.index(name).as_py(), 1).to_pylist()[0]
            yield Movie(row, self.clips.slice(first, end - first))

    def __repr__(self) -> str:
        return (
            f"Dataset({self.storage.uri!r}, {self.movies.num_rows} movies, "
            f"{self.clips.num_rows} clips)"
        )


def open_dataset(uri: str | Storage) -> Dataset:
    """Open a dataset by URI.

    Raises:
        InputError: there is no dataset, or it has another major version of the format.
        FormatError: its index is damaged.
        StorageError: the store cannot be read.
    """
    storage = uri if isinstance(uri, Storage) else Storage(uri)
    for _ in range(OPEN_ATTEMPTS - 1):
        try:
            return _open(storage)
        except _InconsistentError:
            # The objects of an index are replaced one after the other; perhaps they are just now.
            time.sleep(OPEN_WAIT_SECONDS)
    # An update was interrupted between the two tables. Both are whole; the next run completes it.
    return _open(storage, allow_interrupted=True)


class _InconsistentError(Exception):
    """The tables of the index belong to different updates."""


def _open(storage: Storage, *, allow_interrupted: bool = False) -> Dataset:
    info = read_info(storage)
    recipe = recipe_of(info)
    check_recipe_bounds(recipe, storage.uri_of(layout.DATASET_JSON))
    clips_name, movies_name = map(storage.uri_of, (layout.CLIPS_PARQUET, layout.MOVIES_PARQUET))
    clips_bytes = get_bounded(storage, layout.CLIPS_PARQUET)
    clips = read_bounded_table(clips_bytes, clips_name)
    require_columns(clips, CLIPS_SCHEMA, clips_name)
    check_clip_bounds(clips, recipe, clips_name)
    movies = read_bounded_table(get_bounded(storage, layout.MOVIES_PARQUET), movies_name)
    require_columns(movies, MOVIES_SCHEMA, movies_name)
    check_movie_bounds(movies, movies_name)
    fingerprint = hashlib.sha256(clips_bytes).hexdigest()[:16]
    metadata: dict[bytes, bytes] = movies.schema.metadata or {}
    expected = metadata.get(layout.CLIPS_FINGERPRINT.encode(), fingerprint.encode())
    if expected == fingerprint.encode():
        check_clips_of_movies(clips, movies, movies_name)
    elif not allow_interrupted:
        raise _InconsistentError
    check_shards(storage, clips, clips_name)
    return with_near_duplicates(storage, recipe, info, movies, clips, fingerprint)


def with_near_duplicates(
    storage: Storage,
    recipe: Recipe,
    info: dict[str, Any],
    movies: pa.Table,
    clips: pa.Table,
    fingerprint: str,
) -> Dataset:
    """The dataset of these checked tables, with the near-duplicates that are stored for it.

    `fingerprint` is that of the table of clips.
    """
    duplicates = read_duplicates(storage, clips)
    whole = with_duplicates(fingerprint, duplicates)
    return Dataset(
        storage, recipe, info, movies, clips, whole, duplicates, clips_fingerprint=fingerprint
    )


def read_info(storage: Storage) -> dict[str, Any]:
    """Read `dataset.json`; in a local dataset it must not be a link that leads out.

    Raises `InputError` if it is missing or has another major version, `FormatError` if damaged.
    """
    uri = storage.uri_of(layout.DATASET_JSON)
    check_links(storage, (layout.DATASET_JSON, layout.CLIPS_PARQUET, layout.MOVIES_PARQUET))
    try:
        if storage.head(layout.DATASET_JSON).size > MAX_INFO_BYTES:
            raise FormatError(f"{uri} has more than {MAX_INFO_BYTES:,} bytes")
        info = parse_json(storage.get(layout.DATASET_JSON))
    except ObjectNotFoundError as error:
        raise InputError(
            f"{storage.uri} is not a dataset: it has no {layout.DATASET_JSON}; "
            "create one with: reelshards preprocess CORPUS --out URI"
        ) from error
    except ValueError as error:
        raise FormatError(f"{uri} is not JSON: {error}") from error
    if not isinstance(info, dict) or not isinstance(info.get("recipe"), dict):
        raise FormatError(f"{uri} is not a JSON object with a `recipe` object")
    version = str(info.get("spec_version"))
    if version.split(".")[0] != SPEC_VERSION.split(".")[0]:
        raise InputError(
            f"{storage.uri} has shard format {version}; this reelshards reads {SPEC_VERSION}"
        )
    return info


def recipe_of(info: dict[str, Any]) -> Recipe:
    """Recipe in a `dataset.json`; settings that a later 1.x added are ignored."""
    values = info["recipe"]
    if info["spec_version"] != SPEC_VERSION:
        known = {item.name for item in dataclasses.fields(Recipe)}
        values = {name: value for name, value in values.items() if name in known}
    return Recipe.from_json(values)


def read_clips(storage: Storage, rows: Sequence[ClipRow]) -> list[Sample]:
    """Read consecutive clips of one shard with a single ranged read; verify and decode them.

    Raises `ChecksumError`, `FormatError` or `StorageError`; the message names shard and clip.
    """
    if not rows:
        return []
    first = rows[0]
    length = sum(row.tar_bytes for row in rows)
    data = storage.get_range(first.shard, first.tar_offset, length)
    samples, offset = [], 0
    for row in rows:
        if row.shard != first.shard or row.tar_offset != first.tar_offset + offset:
            raise ValueError(f"clip {row.clip_id} does not follow its predecessor in {first.shard}")
        piece = data[offset : offset + row.tar_bytes]
        check_crc32c(piece, row)
        samples.append(decode_clip(piece, row))
        offset += row.tar_bytes
    return samples


def decode_clip(data: memoryview, row: ClipRow) -> Sample:
    """Bytes of exactly one clip -> the decoded clip. Raises `FormatError`."""
    members = split_members(data)
    if list(members) != [row.clip_id]:
        raise FormatError(
            f"{row.shard} at byte {row.tar_offset}: expected clip {row.clip_id}, "
            f"found {', '.join(members) or 'nothing'}"
        )
    return decode_sample(row.clip_id, members[row.clip_id], (row.height, row.width))
