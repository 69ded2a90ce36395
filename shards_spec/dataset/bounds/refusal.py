"""Refusing a row of a table: the message that all bounds share."""

from __future__ import annotations

from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.errors import FormatError

#: What to do with an index that is refused.
ADVICE = (
    "the index is corrupt or was not written by reelshards: check the dataset with `validate`, and "
    "do not use it if you do not trust its source"
)

#: Characters of a value that a message repeats.
_MAX_CHARACTERS = 200


def require_rows(
    table: pa.Table, column: str, is_good: pa.ChunkedArray, expected: str, name: str
) -> None:
    """Raise `FormatError` for the first row that is not good."""
    row = pc.index(is_good, False).as_py()
    if row >= 0:
        refuse_row(table, column, row, expected, name)


def require_range(table: pa.Table, column: str, low: int, high: int, name: str) -> None:
    """Raise `FormatError` for the first row of a column outside of [low, high]."""
    values = table[column]
    is_good = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
    require_rows(table, column, is_good, f"{low} to {high}", name)


def refuse_row(table: pa.Table, column: str, row: int, expected: str, name: str) -> NoReturn:
    """Raise `FormatError`; the message names row, clip or movie, column and value."""
    value = repr(table[column][row].as_py())
    if len(value) > _MAX_CHARACTERS:
        value = f"{value[:_MAX_CHARACTERS]}... ({len(value):,} characters)"
    raise FormatError(
        f"{name}: row {row}{_subject(table, column, row)}: {column} is {value}, expected "
        f"{expected}; {ADVICE}"
    )


def _subject(table: pa.Table, column: str, row: int) -> str:
    for key, noun in (("clip_id", "clip"), ("movie_id", "movie")):
        if key in table.schema.names:
            return f" ({noun} {table[key][row].as_py()!r:.{_MAX_CHARACTERS}})"
    return ""
