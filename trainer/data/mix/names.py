"""Names of movies and groups in several datasets: `2:tt0110912` is a movie of the second one.

Equal ids in two datasets are different movies. Shards are named by their full URI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

#: Columns of the table of clips whose values are qualified.
QUALIFIED = ("movie_id", "group")


def qualified(number: int, name: str) -> str:
    """The name of a movie or group of dataset `number`, counted from 1."""
    return f"{number}:{name}"


def plain_name(name: str) -> str:
    """Inverse of `qualified`."""
    return name.partition(":")[2]


def number_of(name: str) -> int:
    """The dataset of a qualified name, counted from 1."""
    return int(name.partition(":")[0])


def renamed(table: pa.Table, column: str, rename: Callable[[str], str]) -> pa.Table:
    """The table with the texts of a column renamed, as a dictionary."""
    encoded = _encoded(table[column])
    names = pa.array([rename(name) for name in encoded.dictionary.to_pylist()], pa.string())
    values = pa.DictionaryArray.from_arrays(encoded.indices, names)
    return table.set_column(table.schema.get_field_index(column), column, values)


def with_plain_names(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """The table with plain texts in those of the given columns that are qualified."""
    for column in set(columns) & set(QUALIFIED):
        table = renamed(table, column, plain_name)
        number = table.schema.get_field_index(column)
        table = table.set_column(number, column, table[column].cast(pa.string()))
    return table


def _encoded(column: pa.ChunkedArray) -> Any:
    encoded: Any = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    return encoded
