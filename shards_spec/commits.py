"""Commit records, and the index gathered from them.

A commit record is the last object written for a movie: its shards do not exist for readers before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.errors import FormatError
from shards_spec.recipe import Recipe
from shards_spec.schema import (
    CLIPS_SCHEMA,
    SPEC_VERSION,
    STATUSES,
    ClipRow,
    MovieRow,
    clip_rows,
    clips_table,
    movies_table,
    parse_table,
    require_columns,
)
from shards_spec.storage import Storage

_MOVIE_METADATA = b"reelshards.movie"


def write_commit(storage: Storage, movie: MovieRow, clips: Iterable[ClipRow]) -> None:
    """Write a movie's commit record: its clip rows as a table, its own row as file metadata."""
    table = clips_table(clips)
    table = table.replace_schema_metadata({_MOVIE_METADATA: movie.to_json().encode()})
    storage.put(layout.commit_key(movie.movie_id), _parquet_bytes(table))


def read_commit(storage: Storage, movie_id: str) -> tuple[MovieRow, list[ClipRow]]:
    """Read a movie's commit record. Raises `ObjectNotFoundError`, or `FormatError` if damaged."""
    movie, table = _parse_commit(storage.get(layout.commit_key(movie_id)), movie_id)
    return movie, clip_rows(table)


def read_committed_movies(storage: Storage) -> dict[str, MovieRow]:
    """Movie rows of all commit records, by movie id."""
    movies = {}
    for info in storage.list(layout.COMMITS):
        movie_id = Path(info.key).stem
        movies[movie_id], _ = _parse_commit(storage.get(info.key), movie_id)
    return movies


def write_index(
    storage: Storage, recipe: Recipe, ffmpeg_version: str, settings: Mapping[str, Any] | None = None
) -> list[MovieRow]:
    """Build index and `dataset.json` from all commit records; returns the movie rows."""
    movies, tables = [], []
    for info in storage.list(layout.COMMITS):
        movie, table = _parse_commit(storage.get(info.key), Path(info.key).stem)
        movies.append(movie)
        tables.append(table.replace_schema_metadata(None))
    clips = clips_table([]) if not tables else pa.concat_tables(tables)
    order = [(name, "ascending") for name in ("movie_id", "shard", "tar_offset")]
    storage.put(layout.CLIPS_PARQUET, _parquet_bytes(clips.sort_by(order)))
    storage.put(layout.MOVIES_PARQUET, _parquet_bytes(movies_table(movies)))
    summary = {
        "spec_version": SPEC_VERSION,
        "recipe": recipe.to_json(),
        "recipe_fingerprint": recipe.fingerprint,
        "ffmpeg_version": ffmpeg_version,
        "totals": _totals(movies, clips),
        **(settings or {}),
    }
    text = json.dumps(summary, indent=2, sort_keys=True) + "\n"
    storage.put(layout.DATASET_JSON, text.encode())
    return movies


def _totals(movies: list[MovieRow], clips: pa.Table) -> dict[str, int]:
    totals = {f"movies_{status}": 0 for status in STATUSES}
    for movie in movies:
        totals[f"movies_{movie.status}"] += 1
    return {
        **totals,
        "movies": len(movies),
        "clips": clips.num_rows,
        "shards": sum(movie.num_shards for movie in movies),
        "shard_bytes": sum(movie.shard_bytes for movie in movies),
        "duration_ns": sum(movie.duration_ns for movie in movies if movie.status == "done"),
    }


def _parse_commit(data: bytes, movie_id: str) -> tuple[MovieRow, pa.Table]:
    try:
        table = parse_table(data, layout.commit_key(movie_id))
        metadata = table.schema.metadata or {}
        movie = MovieRow.from_json(metadata[_MOVIE_METADATA])
        if movie.movie_id != movie_id:
            raise ValueError(f"it belongs to movie {movie.movie_id!r}")
        require_columns(table, CLIPS_SCHEMA, layout.commit_key(movie_id))
    except (KeyError, TypeError, ValueError, FormatError) as error:
        raise FormatError(
            f"commit record of movie {movie_id} is unreadable: {error}; "
            "delete it and run preprocess again"
        ) from error
    return movie, table


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
