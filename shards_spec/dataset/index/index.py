"""Writes the index from the commit records, and reads its movies."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec import layout
from shards_spec.dataset.bounds.links import check_links
from shards_spec.dataset.card import Subject, TableFile, write_card
from shards_spec.dataset.dropped import dropped_bytes
from shards_spec.dataset.index.commits import (
    commit_movie_id,
    fetch_commits,
    movie_of_commit,
    parse_commit,
)
from shards_spec.dataset.index.gathered import (
    Gathered,
    Part,
    parquet_bytes,
    read_gathered,
    read_table,
    write_gathered,
)
from shards_spec.dataset.index.update import Update
from shards_spec.dataset.labels.schema import clip_labels_key, ranges_key
from shards_spec.dataset.labels.tables import list_tables, rejoin_tables
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.recipe import Recipe
from shards_spec.schema import SPEC_VERSION, MovieRow
from shards_spec.schema.columns import STATUSES
from shards_spec.schema.tables import (
    CLIPS_SCHEMA,
    MOVIES_SCHEMA,
    movie_rows,
    movies_table,
    parse_table,
)
from shards_spec.storage import ObjectInfo, Storage, owned_folder

#: Prefix of the temporary folders in which tables are built.
INDEX_FOLDERS = "reelshards-index-"


def write_index(
    storage: Storage,
    recipe: Recipe,
    ffmpeg_version: str,
    settings: Mapping[str, Any] | None = None,
    *,
    without: Collection[str] = (),
) -> list[MovieRow]:
    """Bring index, labels by clip, card and `dataset.json` up to date with the commit records.

    Args:
        settings: further keys of `dataset.json`.
        without: movies that are left out although they have a commit record, because that is about
            to be deleted.

    Returns:
        All movie rows of the index, by movie id.
    """
    before = read_gathered(storage)
    infos = {commit_movie_id(info): info for info in storage.list(layout.COMMITS)}
    for movie_id in without:
        infos.pop(movie_id, None)
    try:
        rows, parts, tables = _updated(storage, before, infos)
    except (ObjectNotFoundError, FormatError):
        # A part is lost or damaged. From the commit records alone, unless one of them is the cause.
        rows, parts, tables = _updated(storage, Gathered((), "", {}), infos)
    summary = {
        "spec_version": SPEC_VERSION,
        "recipe": recipe.to_json(),
        "recipe_fingerprint": recipe.fingerprint,
        "ffmpeg_version": ffmpeg_version,
        "totals": _totals(rows, parts),
        **(settings or {}),
    }
    write_card(storage, Subject(summary, rows, tables))
    text = json.dumps(summary, indent=2, sort_keys=True) + "\n"
    storage.put(layout.DATASET_JSON, text.encode())
    return rows


def _updated(
    storage: Storage, before: Gathered, infos: Mapping[str, ObjectInfo]
) -> tuple[list[MovieRow], list[Part], list[TableFile]]:
    """Bring parts and tables up to date; returns rows, parts and tables of the index."""
    update = Update(storage, before, infos)
    parts = update.parts()
    records = dict(sorted(update.records.items()))
    rows = [MovieRow.from_json(record.row) for record in records.values()]
    write_gathered(storage, parts, records, before)
    return rows, parts, _write_tables(storage, parts, rows)


def read_committed_movies(
    storage: Storage, on_unreadable: Callable[[str], None] | None = None
) -> dict[str, MovieRow]:
    """Movie rows of all commit records, by movie id; reads only those that the index lacks.

    Records that cannot be read are left out after `on_unreadable(movie_id)`; without it they raise
    `FormatError`.
    """
    known = read_gathered(storage).records
    infos = {commit_movie_id(info): info for info in storage.list(layout.COMMITS)}
    current = {name for name in infos if name in known and known[name].is_of(infos[name])}
    rows = {name: MovieRow.from_json(known[name].row) for name in current}
    missing = [info for name, info in infos.items() if name not in current]
    for movie_id, data in fetch_commits(storage, missing):
        if on_unreadable is None:
            rows[movie_id] = movie_of_commit(data, movie_id)
            continue
        try:
            # Including the clips, which may be damaged although the row is not.
            rows[movie_id], _ = parse_commit(data, movie_id)
        except FormatError:
            on_unreadable(movie_id)
    return dict(sorted(rows.items()))


def read_indexed_movies(storage: Storage) -> list[MovieRow]:
    """Movie rows of the index as readers see it; none without an index.

    They may be older than the commit records. The shards that they list are in use.
    """
    try:
        table = read_table(storage, layout.MOVIES_PARQUET, MOVIES_SCHEMA)
    except (ObjectNotFoundError, FormatError):
        # Nobody can use a damaged index; it is rebuilt from the commit records.
        return []
    return movie_rows(table)


def _write_tables(
    storage: Storage, parts: Sequence[Part], rows: Sequence[MovieRow]
) -> list[TableFile]:
    """Join the parts to `clips.parquet`, one in memory at a time, and write `movies.parquet`."""
    with owned_folder(INDEX_FOLDERS) as folder:
        path = Path(folder) / "clips.parquet"
        with pq.ParquetWriter(path, CLIPS_SCHEMA, compression="zstd") as writer:
            for part in parts:
                writer.write_table(read_table(storage, part.key, CLIPS_SCHEMA))
            if not parts:
                writer.write_table(CLIPS_SCHEMA.empty_table())
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        clips = TableFile(layout.CLIPS_PARQUET, digest, path.stat().st_size, CLIPS_SCHEMA)
        storage.put(layout.CLIPS_PARQUET, path)
        # Labels are of times; which clips they belong to may have changed.
        labels = rejoin_tables(storage, path, digest[:16]).files
    dropped = dropped_bytes(rows, digest[:16])
    storage.put(layout.DROPPED_PARQUET, dropped)
    # Readers see by it whether both tables are of one update.
    table = movies_table(rows).replace_schema_metadata({layout.CLIPS_FINGERPRINT: digest[:16]})
    data = parquet_bytes(table)
    storage.put(layout.MOVIES_PARQUET, data)
    movies = TableFile.of(layout.MOVIES_PARQUET, data)
    return [
        clips,
        movies,
        TableFile.of(layout.DROPPED_PARQUET, dropped),
        *_readable(storage, [layout.DUPLICATES_PARQUET]),
        *labels,
    ]


def refresh_card(storage: Storage) -> None:
    """Bring the card up to date after labels or near-duplicates have changed.

    Raises `FormatError` if `dataset.json` or the table of movies is damaged.
    """
    info = json.loads(storage.get(layout.DATASET_JSON))
    data = storage.get(layout.MOVIES_PARQUET)
    rows = movie_rows(parse_table(data, storage.uri_of(layout.MOVIES_PARQUET)))
    if storage.is_local:
        path = storage.local_path(layout.CLIPS_PARQUET)
        clips = TableFile.of_file(layout.CLIPS_PARQUET, path)
    else:
        clips = TableFile.of(layout.CLIPS_PARQUET, storage.get(layout.CLIPS_PARQUET))
    optional = [layout.DROPPED_PARQUET, layout.DUPLICATES_PARQUET]
    for item in list_tables(storage):
        optional += [ranges_key(item.name), clip_labels_key(item.name)]
    movies = TableFile.of(layout.MOVIES_PARQUET, data)
    write_card(storage, Subject(info, rows, [clips, movies, *_readable(storage, optional)]))


def _readable(storage: Storage, keys: Sequence[str]) -> Iterator[TableFile]:
    """Those tables that exist and can be read."""
    for key in keys:
        with contextlib.suppress(ObjectNotFoundError, FormatError, pa.ArrowException, OSError):
            check_links(storage, (key,))
            yield TableFile.of(key, storage.get(key))


def _totals(rows: Sequence[MovieRow], parts: Sequence[Part]) -> dict[str, int]:
    counts = Counter(row.status for row in rows)
    return {
        **{f"movies_{status}": counts[status] for status in STATUSES},
        "movies": len(rows),
        "clips": sum(part.num_clips for part in parts),
        "shards": sum(row.num_shards for row in rows),
        "shard_bytes": sum(row.shard_bytes for row in rows),
        "duration_ns": sum(row.duration_ns for row in rows if row.status == "done"),
    }
