"""Rows of a file as ranges of a dataset's movies: names are resolved, times checked, repetitions
merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.label_files import FileRow
from shards_spec.dataset.labels.schema import RANGES_SCHEMA, LabeledRange
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS

#: Number of ranges that are kept as objects before they are packed.
_MAX_WAITING = 100_000


def packed(ranges: Sequence[LabeledRange]) -> pa.Table:
    """`RANGES_SCHEMA` with these ranges."""
    columns = [
        pa.array([getattr(item, field.name) for item in ranges], field.type)
        for field in RANGES_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=RANGES_SCHEMA)


def unpacked(table: pa.Table) -> Iterator[LabeledRange]:
    """The ranges of a table."""
    columns = (table[field.name].to_pylist() for field in RANGES_SCHEMA)
    return (LabeledRange(*values) for values in zip(*columns, strict=True))


class PackedRanges(Iterable[LabeledRange]):
    """Ranges of many movies, in columns, which take a tenth of the memory of objects.

    Those of each movie stay in the order in which they were added.
    """

    def __init__(self) -> None:
        self._tables: dict[str, list[pa.Table]] = defaultdict(list)
        self._waiting: dict[str, list[LabeledRange]] = defaultdict(list)
        self._num_waiting = 0

    def add(self, item: LabeledRange) -> None:
        """Append a range."""
        self._waiting[item.movie_id].append(item)
        self._num_waiting += 1
        if self._num_waiting >= _MAX_WAITING:
            self._pack()

    def extend(self, items: Iterable[LabeledRange]) -> None:
        """Append several ranges."""
        for item in items:
            self.add(item)

    def take_movies(self) -> Iterator[list[LabeledRange]]:
        """The ranges of each movie, by id; they are removed."""
        self._pack()
        for name in sorted(self._tables):
            yield list(unpacked(pa.concat_tables(self._tables.pop(name))))

    def __iter__(self) -> Iterator[LabeledRange]:
        """All ranges, movie by movie, in the order in which the movies were first added."""
        self._pack()
        for tables in self._tables.values():
            for table in tables:
                yield from unpacked(table)

    def __len__(self) -> int:
        """Number of ranges."""
        rows = (int(table.num_rows) for tables in self._tables.values() for table in tables)
        return sum(rows) + self._num_waiting

    def _pack(self) -> None:
        for name, items in self._waiting.items():
            self._tables[name].append(packed(items))
        self._waiting.clear()
        self._num_waiting = 0


class MovieNames:
    """Finds movies by id, file name with or without suffix, or a column of the index."""

    def __init__(self, movies: pa.Table, column: str = "") -> None:
        """`column` is the only one that is compared, if it is named.

        Raises `InputError` if the column is missing.
        """
        if column and column not in movies.schema.names:
            known = ", ".join(movies.schema.names)
            raise InputError(f"the table of movies has no column {column!r}; it has: {known}")
        self._ids: set[str] = set(movies["movie_id"].to_pylist()) if not column else set()
        self._by_name: dict[str, list[str]] = defaultdict(list)
        columns = ("movie_id", "source_uri", *([column] if column else []))
        for movie_id, uri, *value in zip(
            *(movies[name].to_pylist() for name in columns), strict=True
        ):
            path = PurePosixPath(unquote(urlsplit(uri).path))
            names = {str(*value)} if value else {movie_id, path.name, path.stem, uri}
            for name in {item.casefold() for item in names}:
                self._by_name[name].append(movie_id)

    def find(self, name: str) -> Sequence[str]:
        """Ids of the movies that a name may mean."""
        if name in self._ids:
            return (name,)
        path = PurePosixPath(name.replace("\\", "/"))
        for candidate in (name, path.name, path.stem):
            if found := self._by_name.get(candidate.casefold(), ()):
                return found
        return ()


def ranges_of_rows(
    rows: Iterable[FileRow], movies: pa.Table, findings: Findings, column: str = ""
) -> list[LabeledRange]:
    """Ranges of those rows that are about movies with clips; all others are counted."""
    names = MovieNames(movies, column)
    known: dict[str, Sequence[str]] = {}
    ranges = []
    for row in rows:
        if row.movie not in known:
            known[row.movie] = names.find(row.movie)
        found = known[row.movie]
        if len(found) != 1:
            reason = "ambiguous_movie" if found else "unknown_movie"
            findings.add(reason, f"{row.where}: {row.movie}")
            continue
        end_ns = row.end_ns if row.end_ns is not None else 2**62
        ranges.append(LabeledRange(found[0], row.start_ns or 0, end_ns, row.label, row.text))
    return ranges


def ranges_table(ranges: Iterable[LabeledRange], movies: pa.Table, findings: Findings) -> pa.Table:
    """`RANGES_SCHEMA` with ranges inside of their movies, without overlaps of equal ones."""
    lengths = dict(
        zip(movies["movie_id"].to_pylist(), movies["duration_ns"].to_pylist(), strict=True)
    )
    with_clips = {
        name
        for name, count in zip(
            movies["movie_id"].to_pylist(), movies["num_clips"].to_pylist(), strict=True
        )
        if count
    }
    usable = PackedRanges()
    for item in ranges:
        if item.movie_id not in with_clips:
            findings.add("no_clips", item.movie_id)
            continue
        inside = _inside(item, lengths[item.movie_id], findings)
        if inside is not None:
            usable.add(inside)
    merged = [packed(_merged(items, findings)) for items in usable.take_movies()]
    return pa.concat_tables([RANGES_SCHEMA.empty_table(), *merged]).combine_chunks()


def _inside(item: LabeledRange, length_ns: int, findings: Findings) -> LabeledRange | None:
    start, end = max(0, item.start_ns), min(item.end_ns, length_ns)
    shown = f"{item.movie_id} from {item.start_ns / NANOSECONDS:g} s"
    if start >= end:
        findings.add("outside", f"{shown}, which has {length_ns / NANOSECONDS:g} s")
        return None
    if start > item.start_ns or (end < item.end_ns and item.end_ns < 2**62):
        findings.add("cut", f"{shown} to {item.end_ns / NANOSECONDS:g} s")
    return LabeledRange(item.movie_id, start, end, item.label, item.text)


def _merged(ranges: Sequence[LabeledRange], findings: Findings) -> list[LabeledRange]:
    """The ranges of a movie by time; equal labels and texts that touch become one range."""
    by_content: dict[tuple[str | None, str | None], list[LabeledRange]] = defaultdict(list)
    for item in sorted(ranges, key=lambda item: (item.start_ns, item.end_ns)):
        same = by_content[item.label, item.text]
        if same and item.start_ns <= same[-1].end_ns:
            before = same.pop()
            end = max(before.end_ns, item.end_ns)
            item = LabeledRange(item.movie_id, before.start_ns, end, item.label, item.text)
            findings.add("merged", f"{item.movie_id} at {item.start_ns / NANOSECONDS:g} s")
        same.append(item)
    merged = [item for same in by_content.values() for item in same]
    merged.sort(key=lambda item: (item.start_ns, item.end_ns, item.label or "", item.text or ""))
    end_ns = -1
    for item in merged:
        if item.label is not None and item.start_ns < end_ns:
            findings.add("overlapping", f"{item.movie_id} at {item.start_ns / NANOSECONDS:g} s")
        if item.label is not None:
            end_ns = max(end_ns, item.end_ns)
    return merged
