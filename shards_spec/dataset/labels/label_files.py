"""Labels in CSV, TSV or Parquet files, with the columns that published sets have.

A file names its columns in a first row. Which column means what is known from usual names, or said
by `Columns`. Without times, a label is for its whole movie.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec.dataset.bounds.parquet_bounds import read_bounded_table
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.texts import MAX_BYTES, decoded
from shards_spec.errors import FormatError, InputError
from shards_spec.recipe import NANOSECONDS

#: Characters of a label or text that are kept.
MAX_TEXT = 2_000

#: Usual names of columns, in lower case, by what they mean; the first that exists is taken.
NAMES = {
    "movie": (
        *("movie_id", "movie", "source", "imdb_id", "imdbid", "imdb", "video_id", "videoid"),
        *("video", "film", "file", "filename", "file_name", "uri", "path"),
    ),
    "start": (
        *("start_seconds", "start", "start_time", "start_sec", "start_s", "t_start", "begin"),
        *("onset", "start_timestamp"),
    ),
    "end": (
        *("end_seconds", "end", "end_time", "end_sec", "end_s", "t_end", "stop", "offset"),
        "end_timestamp",
    ),
    "start_ns": ("start_ns",),
    "end_ns": ("end_ns",),
    "start_ms": ("start_ms",),
    "end_ms": ("end_ms",),
    "label": (
        *("label", "labels", "class", "class_name", "category", "tag", "genre", "action", "mood"),
        *("emotion", "place", "scene", "relationship", "speaker", "name"),
    ),
    "text": ("text", "sentence", "caption", "description", "subtitle", "transcript", "utterance"),
}

#: Nanoseconds of one unit of each column of times.
_UNITS = {"": NANOSECONDS, "_ms": 1_000_000, "_ns": 1}


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a file; empty for the usual ones."""

    movie: str = ""
    start: str = ""
    end: str = ""
    label: str = ""
    text: str = ""


@dataclass(frozen=True)
class FileRow:
    """A row of a file, not yet compared with a dataset."""

    movie: str
    start_ns: int | None
    """None for the start of the movie."""
    end_ns: int | None
    """None for its end."""
    label: str | None
    text: str | None
    where: str


def read_label_file(
    data: bytes, name: str, columns: Columns, findings: Findings, encoding: str = ""
) -> list[FileRow]:
    """Rows of a file that have a movie, valid times, and a label or text; others are counted.

    Raises `InputError` if the file cannot be read, or lacks a column.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    is_parquet = data[:4] == b"PAR1"
    heads, rows = _parquet(data, name) if is_parquet else _csv(data, name, encoding)
    used = _used_columns(heads, columns, name)
    first = 1 if is_parquet else 2
    word = "row" if is_parquet else "line"
    found = (
        _row(values, used, f"{name} {word} {line or number}", findings)
        for number, (line, values) in enumerate(rows, start=first)
    )
    return [row for row in found if row is not None]


def _parquet(data: bytes, name: str) -> tuple[list[str], Iterator[tuple[int, Sequence[Any]]]]:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        nested = [item.name for item in file.schema_arrow if pa.types.is_nested(item.type)]
        table = read_bounded_table(data, name)
    except (FormatError, pa.ArrowException, OSError) as error:
        raise InputError(f"cannot read {name}: {error}") from error
    lists = [item for item in nested if not pa.types.is_list(table.schema.field(item).type)]
    table = table.drop_columns(lists)
    columns = [column.to_pylist() for column in table.columns]
    rows = ((0, values) for values in zip(*columns, strict=True))
    return table.schema.names, rows


def _csv(
    data: bytes, name: str, encoding: str
) -> tuple[list[str], Iterator[tuple[int, Sequence[Any]]]]:
    text = decoded(data, name, encoding)
    head = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",\t;|", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        heads = next((row for row in reader if any(row)), [])
    except csv.Error as error:
        raise InputError(f"{name} line {reader.line_num}: {error}") from error
    return [item.strip() for item in heads], _csv_rows(reader, name, text.count('"'))


def _csv_rows(reader: Any, name: str, num_quotes: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """Rows with the number of their first line. `num_quotes` are the quotation marks of the file.

    Raises `InputError` for a mark that is never closed, after which all rows would be one text.
    """
    line, last = reader.line_num + 1, 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            if num_quotes % 2 and reader.line_num > last:
                raise InputError(f"{name} line {last}: a quotation mark is never closed") from None
            return
        except csv.Error as error:
            raise InputError(f"{name} line {line}: {error}") from error
        if any(item.strip() for item in row):
            yield line, row
        line, last = reader.line_num + 1, line


def _used_columns(heads: Sequence[str], columns: Columns, name: str) -> Mapping[str, int]:
    """Position of each column that is used, by a key of `NAMES`. Raises `InputError`."""
    lower = [head.lower() for head in heads]
    used: dict[str, int] = {}
    for kind, usual in NAMES.items():
        if wanted := getattr(columns, kind, ""):
            if wanted not in heads:
                known = ", ".join(heads)
                raise InputError(f"{name} has no column {wanted!r}; it has: {known}")
            used[kind] = heads.index(wanted)
            continue
        position = next((lower.index(item) for item in usual if item in lower), None)
        if position is not None:
            used[kind] = position
    missing = [
        f"a column that names the {kind} (such as {NAMES[kind][0]}, or --{kind}-column)"
        for kind in ("movie",)
        if kind not in used
    ]
    if "label" not in used and "text" not in used:
        missing.append("a label or text (--label-column, --text-column)")
    if missing:
        known = ", ".join(heads) or "no columns at all"
        raise InputError(f"{name} has no {' and no '.join(missing)}; it has: {known}")
    return used


def _row(
    values: Sequence[Any], used: Mapping[str, int], where: str, findings: Findings
) -> FileRow | None:
    """A row, or None after it was counted."""
    cells = {kind: values[at] for kind, at in used.items() if at < len(values)}
    movie = _text(cells.get("movie"))
    if not movie:
        findings.add("unknown_movie", f"{where}: no movie")
        return None
    label, text = _text(cells.get("label")), _text(cells.get("text"))
    if not label and not text:
        findings.add("nothing", where)
        return None
    try:
        start_ns, end_ns = _time(cells, "start"), _time(cells, "end")
    except ValueError as error:
        findings.add("bad_time", f"{where}: {error}")
        return None
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        shown = f"{start_ns / NANOSECONDS:g} to {end_ns / NANOSECONDS:g} s"
        findings.add("bad_time", f"{where}: {shown}")
        return None
    return FileRow(movie, start_ns, end_ns, label or None, text or None, where)


def _text(value: Any) -> str:
    """A cell as text in one line; lists as their items, missing values and NaN as nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list):
        value = ", ".join(map(_text, value))
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    elif isinstance(value, bytes):
        value = value.decode(errors="replace")
    return " ".join(str(value).split())[:MAX_TEXT]


def _time(cells: Mapping[str, Any], kind: str) -> int | None:
    """Nanoseconds of a start or end; None for an empty cell or no column. Raises `ValueError`."""
    for suffix, unit in _UNITS.items():
        if kind + suffix not in cells:
            continue
        value = cells[kind + suffix]
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        seconds = _number(value)
        if not math.isfinite(seconds) or abs(seconds * unit) > 2**62:
            raise ValueError(f"{kind} {value!r}")
        return round(value * unit) if isinstance(value, int) else round(seconds * unit)
    return None


def _number(value: Any) -> float:
    """`12.5`, `12,5`, `1:02:03.4`. Raises `ValueError`."""
    if not isinstance(value, str):
        try:
            return float(value)
        except TypeError as error:
            raise ValueError(f"{value!r} is not a number") from error
    written = value.strip()
    if written.count(",") == 1 and "." not in written:
        written = written.replace(",", ".")
    *larger, last = written.split(":")
    # Python would read `1_0` as 10.
    if (
        "_" in written
        or len(larger) > 2
        or (larger and not all(part.strip().isdecimal() for part in larger))
    ):
        raise ValueError(f"{value!r} is not a time")
    total = float(last)
    for power, part in enumerate(reversed(larger), start=1):
        total += int(part) * 60**power
    return total
