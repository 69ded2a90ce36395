"""Damage to the Parquet files of a dataset: values, types, columns, rows, bombs."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.hostile.values import column_value, other_type

#: Table and random numbers -> another table, and what was done to it.
EditTable = Callable[[pa.Table, random.Random], tuple[pa.Table, str]]


def damage_table(path: Path, rng: random.Random) -> str:
    """Damage a file in one way; returns what was done."""
    if rng.random() < 0.2:
        return _bomb(path, rng)
    table, said = rng.choice(EDITS)(pq.read_table(path), rng)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression=rng.choice(["none", "zstd", "gzip", "snappy"]),
        row_group_size=rng.choice([1, 5, 1_000_000]),
        store_schema=rng.random() < 0.5,
    )
    path.write_bytes(sink.getvalue())
    return said


def _edit_value(table: pa.Table, rng: random.Random) -> tuple[pa.Table, str]:
    number = rng.randrange(table.num_columns)
    item = table.schema.field(number)
    values = table[number].to_pylist() or [None]
    value = column_value(item.type, rng)
    rows = rng.choice([[rng.randrange(len(values))], range(len(values))])
    for row in rows:
        values[row] = value
    values = values[: table.num_rows]
    column = pa.array(values, item.type)
    return table.set_column(
        number, item, column
    ), f"{item.name} = {value!r:.40} in {len(rows)} rows"


def _edit_null(table: pa.Table, rng: random.Random) -> tuple[pa.Table, str]:
    number = rng.randrange(table.num_columns)
    item = table.schema.field(number)
    values = table[number].to_pylist()
    values = [None if rng.random() < 0.5 else value for value in values]
    column = pa.array(values, item.type)
    return table.set_column(number, item.with_nullable(True), column), f"nulls in {item.name}"


def _edit_type(table: pa.Table, rng: random.Random) -> tuple[pa.Table, str]:
    number = rng.randrange(table.num_columns)
    item = table.schema.field(number)
    kind = other_type(item.type, rng)
    try:
        column = table[number].cast(kind)
    except (pa.ArrowException, TypeError):
        column = pa.nulls(table.num_rows, kind)
    changed = pa.field(item.name, kind)
    return table.set_column(number, changed, column), f"{item.name} as {kind}"


def _edit_columns(table: pa.Table, rng: random.Random) -> tuple[pa.Table, str]:
    number = rng.randrange(table.num_columns)
    item = table.schema.field(number)
    way = rng.choice(["removed", "doubled", "renamed", "reversed"])
    if way == "removed":
        return table.remove_column(number), f"without {item.name}"
    if way == "doubled":
        return table.append_column(item, table[number]), f"{item.name} twice"
    if way == "renamed":
        names = list(table.schema.names)
        names[number] = rng.choice(["", "x" * 100_000, "a.b", item.name.upper(), "\x1b[1m"])
        return table.rename_columns(names), f"{item.name} renamed"
    return table.select(table.schema.names[::-1]), "columns reversed"


def _edit_rows(table: pa.Table, rng: random.Random) -> tuple[pa.Table, str]:
    rows = list(range(table.num_rows))
    way = rng.choice(["none", "reversed", "shuffled", "doubled", "one left out", "one twice"])
    if way == "none":
        rows = []
    elif way == "reversed":
        rows = rows[::-1]
    elif way == "shuffled":
        rng.shuffle(rows)
    elif way == "doubled":
        rows = rows * 2
    elif rows:
        number = rng.randrange(len(rows))
        rows = rows[:number] + rows[number + 1 :] if way == "one left out" else [*rows, number]
    return table.take(pa.array(rows, pa.int64())), f"rows: {way}"


def _edit_metadata(table: pa.Table, rng: random.Random) -> tuple[pa.Table, str]:
    value = rng.choice([b"", b"\xff\xfe", b"[" * 50_000, b'{"movie_id": 1}', b"null", b"x" * 10**6])
    metadata = dict.fromkeys(table.schema.metadata or {b"reelshards.clips_fingerprint": b""}, value)
    return table.replace_schema_metadata(metadata), f"metadata {value[:20]!r}"


EDITS: tuple[EditTable, ...] = (
    *(_edit_value, _edit_value, _edit_value, _edit_null),
    *(_edit_type, _edit_columns, _edit_rows, _edit_metadata),
)


def _bomb(path: Path, rng: random.Random) -> str:
    """A small file that describes a large table of the same columns, or one of very wide rows."""
    schema = pq.read_schema(path)
    num_rows, times = rng.choice([(15_000, 1), (500_000, 4), (500_000, 20)])
    text = "x" * rng.choice([1, 1_000, 1_000_000])
    kind = rng.choice(["texts", "numbers", "lists"])

    def column(item: pa.Field) -> pa.Array:
        if pa.types.is_string(item.type):
            codes = pa.array(np.zeros(num_rows, np.int8))
            return pa.DictionaryArray.from_arrays(codes, [text if kind == "texts" else "x"])
        return pa.array(np.ones(num_rows, np.int8)).cast(item.type)

    table = pa.table([column(item) for item in schema], names=schema.names)
    table = table.replace_schema_metadata(schema.metadata)
    if kind == "lists":
        lists = pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(num_rows * 8, np.int8)), ["y" * len(text)]
        )
        offsets = pa.array(np.arange(0, num_rows * 8 + 1, 8, dtype=np.int32))
        table = table.append_column("extra", pa.ListArray.from_arrays(offsets, lists))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False) as file:
        for _ in range(times):
            file.write_table(table)
    path.write_bytes(sink.getvalue())
    return f"bomb of {kind}: {num_rows} x {times} rows, texts of {len(text)}"
