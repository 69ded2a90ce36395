"""Corpus manifests: CSV, JSON Lines and Parquet tables with one movie per row.

A manifest has a column `uri` and, optionally, `movie_id`, `group`, `language`, `audio_track`
(stream index in the file), `program` (its number, for files with several), `start` and `end`
(seconds). Relative URIs start at the manifest's folder. Every further column is metadata: it is
stored in the index as it is. Empty cells, null and NaN mean "not given".
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shards_spec import layout
from shards_spec.errors import FormatError, InputError
from shards_spec.schema import MOVIES_SCHEMA, parse_table

SUFFIXES = frozenset({".csv", ".jsonl", ".parquet"})
_COLUMNS = ("uri", "movie_id", "group", "language", "audio_track", "program", "start", "end")
#: Where the cells of a CSV row go that have no column; no column has this name.
_SURPLUS = "\0"


@dataclass(frozen=True)
class ManifestRow:
    """One movie, as the manifest describes it."""

    where: str
    """Manifest and row number, for messages."""
    uri: str
    """As written."""
    movie_id: str
    """Empty if not given; so are the next two."""
    group: str
    language: str
    audio_track: int
    """-1 if not given."""
    program: int
    """0 if not given."""
    start_seconds: float
    end_seconds: float
    """Exclusive; 0 for the movie's end."""
    metadata: tuple[tuple[str, Any], ...]
    """(column, value) of all further columns with a value."""


def read_manifest(data: bytes, name: str) -> list[ManifestRow]:
    """The rows of a manifest; raises `InputError` with the row for what is not valid."""
    rows = []
    for number, values in enumerate(_records(data, name), start=1):
        where = f"{name}, row {number}"
        try:
            rows.append(_row(where, values))
        except (FormatError, InputError, ValueError) as error:
            raise InputError(f"{where}: {error}") from error
    return rows


def _records(data: bytes, name: str) -> Iterable[dict[str, Any]]:
    try:
        if name.lower().endswith(".parquet"):
            records: list[dict[str, Any]] = parse_table(data, name).to_pylist()
            return records
        text = data.decode("utf-8-sig")
        if name.lower().endswith(".jsonl"):
            # Not `splitlines`: a text may contain other line separators, such as U+2028.
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        return list(csv.DictReader(io.StringIO(text, newline=""), restkey=_SURPLUS, strict=True))
    except (ValueError, FormatError, csv.Error) as error:
        raise InputError(f"manifest {name} is not readable: {error}") from error


def _row(where: str, values: Any) -> ManifestRow:
    if not isinstance(values, dict):
        raise InputError("is not an object with columns")
    if (surplus := values.get(_SURPLUS)) is not None:
        raise InputError(f"more cells than columns: {surplus}; quote cells that contain commas")
    uri = _text(values.get("uri"))
    if not uri:
        raise InputError("no `uri`; a manifest needs that column in every row")
    start, end = _seconds("start", values.get("start")), _seconds("end", values.get("end"))
    if start < 0 or (end and end <= start):
        raise InputError(f"{start = } and {end = } are not a valid time range (seconds)")
    movie_id = _text(_whole(values.get("movie_id")))
    return ManifestRow(
        where=where,
        uri=uri,
        movie_id=layout.check_movie_id(movie_id) if movie_id else "",
        group=_text(values.get("group")),
        language=_text(values.get("language")),
        audio_track=_index("audio_track", values.get("audio_track"), -1),
        program=_index("program", values.get("program"), 0),
        start_seconds=start,
        end_seconds=end,
        metadata=_metadata(values),
    )


def _metadata(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    metadata = []
    for column, value in values.items():
        if not column or column in _COLUMNS or _is_missing(value):
            continue
        if column in MOVIES_SCHEMA.names:
            raise InputError(f"column {column!r} has the name of a column of the index; rename it")
        metadata.append((column, _plain(value)))
    return tuple(metadata)


def _plain(value: Any) -> Any:
    """A value of the index: text, number, boolean, or a list of these."""
    if isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value if not _is_missing(item)]
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    if _is_missing(value):
        return ""
    # A column of whole numbers with gaps is one of floating-point numbers for pandas.
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def _whole(value: Any) -> Any:
    """`3` for the text `3.0`, which is how pandas writes whole numbers of a column with gaps."""
    if isinstance(value, str) and value.endswith(".0") and value[:-2].isdigit():
        return value[:-2]
    return value


def _number(column: str, value: Any) -> float | None:
    if _is_missing(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{column} {value!r} is not a number") from None
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise InputError(f"{column} {value!r} is not finite; leave the cell empty")
    return number


def _seconds(column: str, value: Any) -> float:
    return _number(column, value) or 0.0


def _index(column: str, value: Any, default: int) -> int:
    number = _number(column, value)
    if number is None:
        return default
    if number < 0 or not number.is_integer():
        kind = "stream index" if column == "audio_track" else "program number"
        raise InputError(f"{column} {value} is not a valid {kind} (they start at 0)")
    return int(number)
