"""Checks of one movie: its rows, its commit record, and its shards, read in bounded pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shards_spec import layout
from shards_spec.dataset.index import read_commit
from shards_spec.dataset.validation import index_checks
from shards_spec.dataset.validation.clip_checks import clip_problems
from shards_spec.dataset.validation.dropped_checks import dropped_problems
from shards_spec.dataset.validation.index_checks import END_BYTES, MAX_CLIP_BYTES
from shards_spec.dataset.validation.report import Problem
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.recipe import Recipe
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.schema.tables import clip_rows, row_values
from shards_spec.storage import Storage

#: Bytes per request; at least one clip.
READ_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Subject:
    """A dataset under validation. Only the columns of its tables have been checked yet."""

    storage: Storage
    info: dict[str, Any]
    recipe: Recipe
    movies: list[MovieRow]
    clips: dict[str, pa.Table]
    """Each movie's clips, in the order of the index, by movie id."""
    sizes: dict[str, int]
    """Sizes of the existing shards, bytes, by key."""
    dropped: dict[str, pa.Table]
    """Each movie's rows of the table of dropped clips, by movie id."""


def movie_problems(data: Subject, movie: MovieRow, quick: bool) -> Iterator[Problem]:
    """All problems of one movie."""
    table = data.clips.get(movie.movie_id)
    rows = [] if table is None else clip_rows(table)
    fingerprint = str(data.info.get("recipe_fingerprint"))
    yield from index_checks.row_problems(movie, rows, data.sizes, fingerprint)
    yield from index_checks.structure_problems(movie, rows, data.sizes)
    yield from index_checks.purity_problems(movie.movie_id, rows)
    yield from index_checks.permutation_problems(movie.movie_id, rows)
    yield from index_checks.time_problems(movie, rows, data.recipe)
    yield from index_checks.recipe_problems(movie.movie_id, rows, data.recipe)
    if data.recipe.clips_per_movie:
        yield from index_checks.choice_problems(movie, rows, data.recipe)
    yield from _commit_problems(data, movie, rows)
    for shard in sorted({row.shard for row in rows} & set(data.sizes)):
        of_shard = [row for row in rows if row.shard == shard]
        yield from _shard_problems(data, shard, of_shard, quick)


def _commit_problems(data: Subject, movie: MovieRow, rows: Sequence[ClipRow]) -> Iterator[Problem]:
    """The commit record has the same rows as the index."""
    key = layout.commit_key(movie.movie_id)
    try:
        committed, clips = read_commit(data.storage, movie.movie_id)
    except (FormatError, ObjectNotFoundError) as error:
        yield Problem("commits", key, str(error))
        return
    table = data.dropped.get(movie.movie_id)
    dropped = table.to_pylist() if table is not None else []
    yield from dropped_problems(movie, committed.drops, dropped, rows, data.recipe)
    if names := _differences(committed, movie):
        yield Problem("commits", key, f"differs from {layout.MOVIES_PARQUET} in {names}")
    if len(clips) != len(rows):
        message = f"has {len(clips)} clips, {layout.CLIPS_PARQUET} has {len(rows)}"
        yield Problem("commits", key, message)
    for committed_row, row in zip(clips, rows, strict=False):
        if names := _differences(committed_row, row):
            message = f"differs from {layout.CLIPS_PARQUET} in {names}"
            yield Problem("commits", key, message, row.clip_id)


def _differences(committed: MovieRow | ClipRow, indexed: MovieRow | ClipRow) -> str:
    """Names of the columns in which two rows differ."""
    values = _comparable(indexed)
    return ", ".join(k for k, value in _comparable(committed).items() if value != values[k])


def _comparable(row: MovieRow | ClipRow) -> dict[str, Any]:
    """A row's values, those of further columns as text: columns of mixed types are stored so."""
    values = row_values(row)
    if "extra" in values:
        values["extra"] = {name: _as_text(value) for name, value in values["extra"].items()}
    return values


def _as_text(value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            return str(float(value))
        except ValueError:
            return str(value)
    return json.dumps(value)


def _shard_problems(
    data: Subject, shard: str, rows: Sequence[ClipRow], quick: bool
) -> Iterator[Problem]:
    size = data.sizes[shard]
    yield from index_checks.range_problems(shard, rows, size)
    end = data.storage.get_range(shard, max(0, size - END_BYTES), min(size, END_BYTES))
    if any(end):
        yield Problem("ranges", shard, f"its last {END_BYTES} bytes are not zero")
    if quick:
        return
    readable = [
        row
        for row in rows
        if 0 <= row.tar_offset <= size - row.tar_bytes < size and row.tar_bytes <= MAX_CLIP_BYTES
    ]
    for batch in _batches(readable):
        start = batch[0].tar_offset
        length = batch[-1].tar_offset + batch[-1].tar_bytes - start
        piece = data.storage.get_range(shard, start, length)
        for row in batch:
            begin = row.tar_offset - start
            yield from clip_problems(piece[begin : begin + row.tar_bytes], row, data.recipe)


def _batches(rows: Sequence[ClipRow]) -> Iterator[list[ClipRow]]:
    """Runs of adjacent clips of about `READ_BYTES` each."""
    batch: list[ClipRow] = []
    for row in rows:
        if batch:
            end = batch[-1].tar_offset + batch[-1].tar_bytes
            long = end + row.tar_bytes - batch[0].tar_offset > READ_BYTES
            if row.tar_offset != end or long:
                yield batch
                batch = []
        batch.append(row)
    if batch:
        yield batch
