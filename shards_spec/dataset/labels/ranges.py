"""Rows of a file as ranges of a dataset's movies: names are resolved, times checked, repetitions
merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.label_files import FileRow
from shards_spec.dataset.labels.schema import RANGES_SCHEMA, LabeledRange
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS


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
    of_movie: dict[str, list[LabeledRange]] = defaultdict(list)
    for item in ranges:
        if item.movie_id not in with_clips:
            findings.add("no_clips", item.movie_id)
            continue
        inside = _inside(item, lengths[item.movie_id], findings)
        if inside is not None:
            of_movie[item.movie_id].append(inside)
    merged = [item for name in sorted(of_movie) for item in _merged(of_movie[name], findings)]
    columns = [
        pa.array([getattr(item, field.name) for item in merged], field.type)
        for field in RANGES_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=RANGES_SCHEMA)


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
