"""Merges commit records that have changed into the parts of the index."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.index.commits import fetch_commits, parse_commit
from shards_spec.dataset.index.gathered import (
    PARTS,
    Gathered,
    Part,
    Record,
    parquet_bytes,
    read_table,
)
from shards_spec.schema.tables import CLIPS_SCHEMA
from shards_spec.storage import ObjectInfo, Storage

#: A part is closed with the movie that makes it this long.
PART_CLIPS = 100_000

_CLIPS_ORDER = [(name, "ascending") for name in ("movie_id", "shard", "tar_offset")]


class Update:
    """Merges the commit records that have changed into the parts."""

    def __init__(self, storage: Storage, before: Gathered, infos: Mapping[str, ObjectInfo]) -> None:
        """`infos` are the commit records of all movies of the index, by movie id."""
        self._storage = storage
        self._before = before
        known = before.records
        self._changed = {
            name: info
            for name, info in infos.items()
            if name not in known or not known[name].is_of(info)
        }
        self._stale = {*self._changed, *(name for name in known if name not in infos)}
        self.records = {name: rec for name, rec in known.items() if name not in self._stale}
        """What the index consists of; complete after `parts`."""

    def parts(self) -> list[Part]:
        """Write the parts that have changed; returns all of them in order."""
        names = sorted(self._changed)
        parts: list[Part] = []
        old = self._before.parts or (Part("", "", 0),)
        for number, part in enumerate(old):
            end = old[number + 1].first if number + 1 < len(old) else None
            # The first part also takes movies that sort before it.
            start = part.first if number else ""
            inside = [name for name in names if name >= start and (end is None or name < end)]
            stale = {name for name in self._stale if name >= start and (end is None or name < end)}
            if part.key and not stale:
                parts.append(part)
            else:
                parts += self._rewritten(part, inside, stale)
        return parts

    def _rewritten(self, part: Part, names: list[str], stale: Collection[str]) -> Iterator[Part]:
        """The part with its changed movies, as one part or several."""
        kept = CLIPS_SCHEMA.empty_table()
        if part.key:
            kept = _without(read_table(self._storage, part.key, CLIPS_SCHEMA), stale)
        tables: list[pa.Table] = []
        num_new = 0
        commits = fetch_commits(self._storage, [self._changed[name] for name in names])
        for movie_id, data in commits:
            row, table = parse_commit(data, movie_id)
            info = self._changed[movie_id]
            self.records[movie_id] = Record(info.size, info.etag, row.to_json())
            tables.append(table)
            num_new += table.num_rows
            if num_new >= PART_CLIPS:
                is_before = pc.less_equal(kept["movie_id"], movie_id)
                yield from self._written([kept.filter(is_before), *tables])
                kept, tables, num_new = kept.filter(pc.invert(is_before)), [], 0
        yield from self._written([kept, *tables])

    def _written(self, tables: Sequence[pa.Table]) -> Iterator[Part]:
        clips = pa.concat_tables(tables).sort_by(_CLIPS_ORDER)
        ends = _movie_ends(clips)
        start = 0
        for end in ends:
            if end - start >= PART_CLIPS or end == clips.num_rows:
                piece = clips.slice(start, end - start)
                data = parquet_bytes(piece)
                key = f"{PARTS}/{hashlib.sha256(data).hexdigest()[:16]}.parquet"
                self._storage.put(key, data)
                yield Part(key, piece["movie_id"][0].as_py(), piece.num_rows)
                start = end


def _without(table: pa.Table, movie_ids: Collection[str]) -> pa.Table:
    if not movie_ids or not table.num_rows:
        return table
    names = pa.array(sorted(movie_ids), pa.string())
    return table.filter(pc.invert(pc.is_in(table["movie_id"], names)))


def _movie_ends(clips: pa.Table) -> list[int]:
    """Row numbers at which the movies of a sorted table end."""
    if not clips.num_rows:
        return []
    runs = pc.run_end_encode(clips["movie_id"].combine_chunks())
    ends: list[int] = runs.run_ends.to_pylist()
    return ends
