"""Arrow schemas of the index, and its rows as tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec.errors import FormatError
from shards_spec.schema.clip_row import ClipRow
from shards_spec.schema.columns import LOCATION_COLUMNS
from shards_spec.schema.movie_row import MovieRow


def _arrow_schema(row_type: type, first: Sequence[str] = ()) -> pa.Schema:
    """The columns of a row type, those named in `first` before the others."""
    plain = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    hints = get_type_hints(row_type)
    fields = []
    for item in sorted(
        (item for item in dataclasses.fields(row_type) if item.metadata.get("is_column", True)),
        key=lambda item: first.index(item.name) if item.name in first else len(first),
    ):
        default = plain.get(hints[item.name], pa.string())
        arrow, nullable = item.metadata.get("arrow", default), item.metadata.get("nullable", False)
        fields.append(pa.field(item.name, arrow, nullable=nullable))
    return pa.schema(fields)


_FIRST_CLIP_COLUMNS = ("clip_id", "movie_id", "group", "shard", *LOCATION_COLUMNS)

CLIPS_SCHEMA: pa.Schema = _arrow_schema(ClipRow, _FIRST_CLIP_COLUMNS)
MOVIES_SCHEMA: pa.Schema = _arrow_schema(MovieRow)

#: Columns that older datasets lack; their rows get the default values.
ADDED_COLUMNS = (
    "dropped_damaged",
    "video_lost_ns",
    "program",
    "num_programs",
    "wanted_program",
    "missing_ns",
    "reelshards_version",
    "ffmpeg_version",
    "first_shard",
    "source_root",
    "source_modified_ns",
    "decode_mode",
    "frames_left_out",
    "clips_not_chosen",
    "decode_route",
    "predicted_decode_seconds",
    "predicted_pass_seconds",
    "video_decode_seconds",
    "fast_time_error_ms",
    "fast_ssim",
    "fast_min_ssim",
    "decode_device",
    "hardware_fallbacks",
    "hardware_problem",
)


def clips_table(rows: Iterable[ClipRow]) -> pa.Table:
    """Clip rows as a table, sorted by (movie_id, shard, tar_offset)."""
    ordered = sorted(rows, key=lambda row: (row.movie_id, row.shard, row.tar_offset))
    return pa.Table.from_pylist([dataclasses.asdict(row) for row in ordered], CLIPS_SCHEMA)


def movies_table(rows: Iterable[MovieRow]) -> pa.Table:
    """Movie rows as a table, sorted by movie_id; their `extra` columns come last, with nulls."""
    ordered = sorted(rows, key=lambda row: row.movie_id)
    columns = [
        pa.array([getattr(row, item.name) for row in ordered], item.type) for item in MOVIES_SCHEMA
    ]
    table = pa.Table.from_arrays(columns, schema=MOVIES_SCHEMA)
    for name in sorted({name for row in ordered for name in row.extra}):
        table = table.append_column(name, _extra_column([row.extra.get(name) for row in ordered]))
    return table


def _extra_column(values: list[Any]) -> pa.Array:
    """Values with the narrowest type that holds all of them; as text if there is none."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        texts = [
            value if value is None or isinstance(value, str) else json.dumps(value)
            for value in values
        ]
        return pa.array(texts, pa.string())


def clip_rows(table: pa.Table) -> list[ClipRow]:
    """Inverse of `clips_table`; columns unknown to this version are ignored."""
    require_columns(table, CLIPS_SCHEMA, "clips")
    return [ClipRow(**row) for row in _known(table, CLIPS_SCHEMA).to_pylist()]


def movie_rows(table: pa.Table) -> list[MovieRow]:
    """Inverse of `movies_table`; all other columns become `extra`."""
    require_columns(table, MOVIES_SCHEMA, "movies")
    others = [name for name in table.schema.names if name not in MOVIES_SCHEMA.names]
    extras = table.select(others).to_pylist() if others else [{}] * table.num_rows
    return [
        MovieRow(**row, extra={name: value for name, value in extra.items() if value is not None})
        for row, extra in zip(_known(table, MOVIES_SCHEMA).to_pylist(), extras, strict=True)
    ]


def _known(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.select([name for name in schema.names if name in table.schema.names])


def parse_table(data: bytes, name: str) -> pa.Table:
    """Parquet bytes as a table; columns are not checked. Raises `FormatError`, naming `name`."""
    try:
        # One thread: a process that exits while Arrow is still starting threads is aborted.
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{name} is not readable Parquet: {error}") from error


def require_columns(table: pa.Table, schema: pa.Schema, name: str) -> None:
    """Raise `FormatError` unless `table` has every column of `schema` with its type.

    `ADDED_COLUMNS` may be missing, because older datasets lack them.
    """
    if table.schema.equals(schema):
        return
    names = table.schema.names
    problems: Sequence[str] = [
        f"{item.name}: {'missing' if item.name not in names else 'wrong type'}"
        for item in schema
        if (item.name not in names and item.name not in ADDED_COLUMNS)
        or (item.name in names and table.schema.field(item.name).type != item.type)
    ]
    if problems:
        raise FormatError(f"{name} table violates the schema: {', '.join(problems)}")


def row_values(row: Any) -> dict[str, Any]:
    """A row's values by column name, and those of a manifest in `extra`."""
    if isinstance(row, MovieRow):
        row = dataclasses.replace(row, drops=None)
    return {name: value for name, value in dataclasses.asdict(row).items() if name != "drops"}
