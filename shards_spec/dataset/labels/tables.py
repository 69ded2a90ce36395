"""Tables of labels in a dataset: written, listed, joined again when the index changes, removed.

The ranges are the truth. What they mean for clips depends on the clips, so every update of the
index makes the tables by clip again. Each object is replaced as a whole; a reader that meets tables
of different updates joins the ranges by itself.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards_spec.dataset.bounds.links import check_links
from shards_spec.dataset.bounds.parquet_bounds import get_bounded, read_bounded_table
from shards_spec.dataset.card import TableFile
from shards_spec.dataset.labels.checks import check_clip_labels, check_ranges
from shards_spec.dataset.labels.joining import join_ranges
from shards_spec.dataset.labels.schema import (
    CLIP_LABELS,
    CLIP_LABELS_SCHEMA,
    CLIPS_FINGERPRINT,
    LABELS_JSON,
    RANGES,
    RANGES_FINGERPRINT,
    RANGES_SCHEMA,
    TableInfo,
    check_name,
    clip_labels_key,
    ranges_key,
)
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError
from shards_spec.storage import Storage


@dataclass(frozen=True)
class Rejoined:
    """The tables of labels after an update."""

    infos: tuple[TableInfo, ...]
    """By name."""
    files: tuple[TableFile, ...]
    """Of those that could be read: ranges, and labels by clip."""


#: Longer lists of tables are not ours, bytes.
_MAX_LIST_BYTES = 1 << 20

_RANGES_KEY = re.compile(rf"{RANGES}/([a-z][a-z0-9_]{{0,63}})\.parquet")
_CLIP_COLUMNS = ["clip_id", "movie_id", "start_ns", "end_ns"]


def list_tables(storage: Storage) -> tuple[TableInfo, ...]:
    """The tables of labels of a dataset, by name. Raises `FormatError` if their list is damaged."""
    uri = storage.uri_of(LABELS_JSON)
    check_links(storage, (LABELS_JSON,))
    try:
        if storage.head(LABELS_JSON).size > _MAX_LIST_BYTES:
            raise FormatError(f"{uri} has more than {_MAX_LIST_BYTES:,} bytes")
        listed = json.loads(storage.get(LABELS_JSON))
        tables = tuple(TableInfo(**item) for item in listed["tables"])
        for item in tables:
            check_name(item.name)
    except ObjectNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise FormatError(f"{uri} is not a list of tables of labels: {error}") from error
    return tables


def label_keys(storage: Storage) -> tuple[str, ...]:
    """Keys of all objects with labels; in a local dataset none is a link that leads out."""
    infos = list_tables(storage)
    names = [info.name for info in infos]
    keys = (*map(ranges_key, names), *map(clip_labels_key, names))
    check_links(storage, keys)
    return (*keys, LABELS_JSON) if infos else ()


def write_ranges(storage: Storage, name: str, ranges: pa.Table) -> None:
    """Write a table of ranges, `RANGES_SCHEMA`; an existing one of that name is replaced."""
    storage.put(ranges_key(check_name(name)), _parquet_bytes(ranges))


def read_ranges(storage: Storage, name: str) -> pa.Table:
    """A table of ranges. Raises `FormatError` if it is damaged, or as `Storage.get`."""
    return _ranges_of(storage, name)[0]


def rejoin_tables(storage: Storage, clips: Path, clips_fingerprint: str) -> Rejoined:
    """Make the tables by clip from all tables of ranges, and list them.

    Args:
        clips: local copy of `index/clips.parquet`.
        clips_fingerprint: of that file.

    Tables of ranges that are damaged are left as they are, so that they prevent no update of the
    index; readers of their labels get a warning.
    """
    matches = (_RANGES_KEY.fullmatch(info.key) for info in storage.list(RANGES))
    names = sorted(match[1] for match in matches if match)
    if not names and not storage.exists(LABELS_JSON):
        return Rejoined((), ())
    infos, files = [], []
    for name in names:
        try:
            info, of_table = _rejoined(storage, name, clips, clips_fingerprint)
            infos.append(info)
            files += of_table
        except (FormatError, InputError):
            infos += [info for info in _listed_or_none(storage) if info.name == name]
    listed = {"tables": [dataclasses.asdict(info) for info in infos]}
    storage.put(LABELS_JSON, (json.dumps(listed, indent=1) + "\n").encode())
    current = {clip_labels_key(name) for name in names}
    for stored in storage.list(CLIP_LABELS):
        if stored.key not in current and stored.key.endswith(".parquet"):
            storage.delete(stored.key)
    return Rejoined(tuple(infos), tuple(files))


def remove_table(storage: Storage, name: str) -> None:
    """Delete a table of ranges; `rejoin_tables` removes the rest. Raises `InputError`."""
    key = ranges_key(check_name(name))
    if not storage.exists(key):
        raise _unknown(storage, name)
    storage.delete(key)


def remove_movies(storage: Storage, movie_ids: Collection[str]) -> int:
    """Delete all ranges of movies from all tables; returns how many."""
    removed = 0
    gone = pa.array(sorted(movie_ids), pa.string())
    for info in storage.list(RANGES):
        found = _RANGES_KEY.fullmatch(info.key)
        if found is None:
            continue
        ranges = read_ranges(storage, found[1])
        kept = ranges.filter(pc.invert(pc.is_in(ranges["movie_id"], gone)))
        if kept.num_rows < ranges.num_rows:
            removed += ranges.num_rows - kept.num_rows
            write_ranges(storage, found[1], kept)
    return removed


def read_clip_labels(
    storage: Storage, name: str, clips: pa.Table, clips_fingerprint: str
) -> tuple[pa.Table, str]:
    """`CLIP_LABELS_SCHEMA` for a dataset's clips, and the fingerprint of the ranges.

    Raises `InputError` if the table is missing, `FormatError` if it is damaged.
    """
    key = clip_labels_key(check_name(name))
    uri = storage.uri_of(key)
    check_links(storage, (key, ranges_key(name)))
    try:
        table = read_bounded_table(get_bounded(storage, key), uri)
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        if metadata.get(CLIPS_FINGERPRINT) == clips_fingerprint.encode():
            check_clip_labels(table, uri)
            return table, metadata.get(RANGES_FINGERPRINT, b"").decode(errors="replace")
    except ObjectNotFoundError:
        # The import was interrupted, or these labels do not exist.
        pass
    try:
        ranges, stored = _ranges_of(storage, name)
    except ObjectNotFoundError as error:
        raise _unknown(storage, name) from error
    # The table by clip is of another update of the index.
    return join_ranges(ranges, _plain(clips)), stored.sha256[:16]


def stored_clip_labels(storage: Storage, name: str) -> tuple[pa.Table, str]:
    """The table by clip as it is stored, and the fingerprint of the clips that it is of.

    Raises `FormatError` if it is damaged, or as `Storage.get`.
    """
    key = clip_labels_key(check_name(name))
    uri = storage.uri_of(key)
    check_links(storage, (key,))
    table = read_bounded_table(get_bounded(storage, key), uri)
    check_clip_labels(table, uri)
    metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
    return table, metadata.get(CLIPS_FINGERPRINT, b"").decode(errors="replace")


def _unknown(storage: Storage, name: str) -> InputError:
    known = ", ".join(info.name for info in list_tables(storage)) or "none"
    return InputError(
        f"{storage.uri} has no labels {name!r}; it has: {known}. Import them with: "
        f"reelshards label DATASET --from FILE --name {name}"
    )


def _plain(clips: pa.Table) -> pa.Table:
    """The columns of clips that ranges are compared with, without dictionaries."""
    fields = [CLIP_LABELS_SCHEMA.field("clip_id"), CLIP_LABELS_SCHEMA.field("movie_id")]
    fields += [RANGES_SCHEMA.field("start_ns"), RANGES_SCHEMA.field("end_ns")]
    schema = pa.schema(fields)
    return clips.select(schema.names).replace_schema_metadata(None).cast(schema)


def _rejoined(
    storage: Storage, name: str, clips: Path, clips_fingerprint: str
) -> tuple[TableInfo, list[TableFile]]:
    ranges, stored = _ranges_of(storage, name)
    digest = stored.sha256[:16]
    metadata = {
        CLIPS_FINGERPRINT: clips_fingerprint.encode(),
        RANGES_FINGERPRINT: digest.encode(),
    }
    schema = CLIP_LABELS_SCHEMA.with_metadata(metadata)
    sink, num_clips = pa.BufferOutputStream(), 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for part in _parts(clips):
            joined = join_ranges(ranges, part)
            num_clips += pc.count_distinct(joined["clip_id"]).as_py()
            writer.write_table(joined.replace_schema_metadata(metadata))
    data = bytes(sink.getvalue())
    storage.put(clip_labels_key(name), data)
    info = TableInfo(
        name=name,
        num_ranges=ranges.num_rows,
        num_movies=len(pc.unique(ranges["movie_id"])),
        num_clips=num_clips,
        has_labels=ranges["label"].null_count < ranges.num_rows,
        has_text=ranges["text"].null_count < ranges.num_rows,
    )
    return info, [stored, TableFile.of(clip_labels_key(name), data)]


def _parts(clips: Path) -> Iterator[pa.Table]:
    """The table of clips in parts of whole movies, one in memory at a time."""
    file, rest = pq.ParquetFile(clips), None
    for number in range(file.num_row_groups):
        part = file.read_row_group(number, columns=_CLIP_COLUMNS, use_threads=False)
        if rest is not None:
            part = pa.concat_tables([rest, part])
        is_last = number == file.num_row_groups - 1
        names = part["movie_id"]
        first_of_last = part.num_rows
        if not is_last and part.num_rows:
            first_of_last = pc.index(names, names[-1]).as_py()
        yield part.slice(0, first_of_last)
        rest = part.slice(first_of_last)


def _ranges_of(storage: Storage, name: str) -> tuple[pa.Table, TableFile]:
    """A table of ranges, and how it is stored."""
    key = ranges_key(name)
    uri = storage.uri_of(key)
    check_links(storage, (key,))
    data = get_bounded(storage, key)
    table = read_bounded_table(data, uri)
    check_ranges(table, uri)
    return table, TableFile.of(key, data)


def _listed_or_none(storage: Storage) -> tuple[TableInfo, ...]:
    try:
        return list_tables(storage)
    except FormatError:
        return ()


def _parquet_bytes(table: pa.Table) -> bytes:
    sink: Any = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
