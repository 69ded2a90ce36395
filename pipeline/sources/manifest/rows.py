"""One movie as a manifest describes it: which columns there are and what their values may be."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.sources.manifest.records import read_records
from shards_spec import layout
from shards_spec.errors import FormatError, InputError
from shards_spec.schema.tables import MOVIES_SCHEMA

_COLUMNS = ("uri", "movie_id", "group", "language", "audio_track", "program", "start", "end")


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

    @property
    def part(self) -> tuple[object, ...]:
        """What distinguishes the requested part from others."""
        return (
            self.uri,
            self.start_seconds,
            self.end_seconds,
            self.audio_track,
            self.program,
            self.language,
        )


def read_manifest(data: bytes, name: str) -> list[ManifestRow]:
    """The rows of a manifest.

    Raises `InputError`, with the row and line, for what is not valid or occurs twice.
    """
    rows: list[ManifestRow] = []
    for record in read_records(data, name):
        try:
            rows.append(_row(record.where, record.values))
        except (FormatError, InputError, ValueError) as error:
            raise InputError(f"{record.where}: {error}") from error
    _require_different(rows)
    return rows


def _require_different(rows: Sequence[ManifestRow]) -> None:
    """Raise `InputError` if two rows name the same part of a movie, or have the same id."""
    first: dict[tuple[object, ...], ManifestRow] = {}
    for row in rows:
        same_part = (*row.part, row.movie_id)
        before = first.setdefault(same_part, row)
        if before is not row:
            raise InputError(f"{row.where}: repeats {before.where}; remove one of them")
        if row.movie_id and (before := first.setdefault((row.movie_id,), row)) is not row:
            raise InputError(
                f"{row.where}: movie_id {row.movie_id!r} is also that of {before.where}; "
                "more than one source cannot share it"
            )


def _row(where: str, values: Any) -> ManifestRow:
    if not isinstance(values, dict):
        raise InputError("is not an object with columns")
    uri = _uri(values)
    start, end = _seconds("start", values.get("start")), _seconds("end", values.get("end"))
    if start < 0 or (end and end <= start):
        raise InputError(f"{start = } and {end = } are not a valid time range (seconds)")
    movie_id = _text(_whole(values.get("movie_id")))
    return ManifestRow(
        where=where,
        uri=uri,
        movie_id=layout.check_movie_id(movie_id) if movie_id else "",
        group=_storable("group", _text(values.get("group"))),
        language=_storable("language", _text(values.get("language"))),
        audio_track=_index("audio_track", values.get("audio_track"), -1),
        program=_index("program", values.get("program"), 0),
        start_seconds=start,
        end_seconds=end,
        metadata=_metadata(values),
    )


def _uri(values: dict[str, Any]) -> str:
    uri = values.get("uri")
    if _is_missing(uri):
        columns = ", ".join(map(repr, values))
        raise InputError(
            f"no `uri`; a manifest needs that column in every row (columns here: {columns})"
        )
    if not isinstance(uri, (str, int, float)) or isinstance(uri, bool):
        raise InputError(f"uri {uri!r} is not a path or URI")
    return _text(uri)


def _metadata(values: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    metadata = []
    for column, value in values.items():
        if not column or column in _COLUMNS or _is_missing(value):
            continue
        if column in MOVIES_SCHEMA.names:
            raise InputError(f"column {column!r} has the name of a column of the index; rename it")
        metadata.append((_storable("a column name", column), _plain(column, value)))
    return tuple(metadata)


def _plain(column: str, value: Any) -> Any:
    """A value of the index: text, number, boolean, or a list of these."""
    if isinstance(value, (int, float, bool)):
        return value
    if isinstance(value, list):
        return [_plain(column, item) for item in value if not _is_missing(item)]
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return _storable(column, str(value))


def _storable(what: str, text: str) -> str:
    """The text, if it is Unicode. JSON can escape halves of characters, which are not."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} {text!r} is not valid Unicode") from error
    return text


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
