"""Bounds on Parquet files, checked before and while their tables are read.

A few kilobytes of Parquet can describe any number of equal rows, or one long text any number of
times. The limits here are far above those of real indices, whose ids and checksums hardly compress.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards_spec.dataset.bounds.links import check_links
from shards_spec.errors import FormatError, ObjectNotFoundError
from shards_spec.schema.tables import require_columns
from shards_spec.storage import Storage

#: Rows that any file may have, and bytes of the file for each further row.
MIN_ROWS, BYTES_PER_ROW = 20_000, 2

#: Bytes that any table may have in memory, and how much larger than its file a table may be.
MIN_TABLE_BYTES, TABLE_BYTES_PER_BYTE = 256 * 1024 * 1024, 200

#: Files up to this size are read as they are, bytes.
MAX_UNCHECKED_BYTES = 64 * 1024 * 1024

#: Bytes of a footer; it has about 100 for each column of each row group.
MAX_FOOTER_BYTES = 64 * 1024 * 1024

_MAGIC = b"PAR1"


def read_optional_table(storage: Storage, key: str, schema: pa.Schema) -> pa.Table | None:
    """A table that a dataset may lack, with at least the columns of `schema`; None without it.

    Raises `FormatError` for a damaged table, `StorageError` if it cannot be read.
    """
    name = storage.uri_of(key)
    check_links(storage, (key,))
    try:
        table = read_bounded_table(get_bounded(storage, key), name)
    except ObjectNotFoundError:
        return None
    require_columns(table, schema, name)
    return table


def read_bounded_table(data: bytes, name: str) -> pa.Table:
    """Parquet bytes as a table of bounded size; columns are not checked.

    Raises `FormatError`, naming `name`, for unreadable bytes, duplicate columns, and tables that
    are much larger than their file.
    """
    try:
        source = pa.BufferReader(data)
        texts = [item.name for item in pq.read_schema(source) if pa.types.is_string(item.type)]
        # Equal texts are stored once, so reading them as they are stored cannot exceed the file.
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
        check_parquet_bounds(file.metadata, len(data), name)
        # One thread: a process that exits while Arrow is still starting threads is aborted.
        table = file.read(use_threads=False)
        _check_texts(table, len(data), name)
        return table.cast(pa.schema([_plain(item) for item in table.schema], table.schema.metadata))
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{name} is not readable Parquet: {error}") from error


def get_bounded(storage: Storage, key: str) -> bytes:
    """A Parquet object; a large one is only read if its footer accounts for its size.

    Raises `FormatError`, or `StorageError` as `Storage.get` does.
    """
    name = storage.uri_of(key)
    size = storage.head(key).size
    if size > MAX_UNCHECKED_BYTES:
        tail = bytes(storage.get_range(key, size - 8, 8))
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > min(size, MAX_FOOTER_BYTES):
            raise FormatError(f"{name} is not readable Parquet: it has no valid footer")
        footer = bytes(storage.get_range(key, size - 8 - length, length + 8))
        try:
            metadata = pq.read_metadata(pa.BufferReader(_MAGIC + footer))
        except (pa.ArrowException, OSError) as error:
            raise FormatError(f"{name} is not readable Parquet: {error}") from error
        check_parquet_bounds(metadata, size, name)
    return storage.get(key)


def check_parquet_bounds(metadata: pq.FileMetaData, num_bytes: int, name: str) -> None:
    """Raise `FormatError` for a file of `num_bytes` whose footer describes too large a table."""
    names = metadata.schema.to_arrow_schema().names
    if twice := [column for column, count in Counter(names).items() if count > 1]:
        raise FormatError(f"{name} has the column {twice[0]} more than once")
    if metadata.num_rows > MIN_ROWS + num_bytes // BYTES_PER_ROW:
        raise FormatError(
            f"{name} has {num_bytes:,} bytes, but describes {metadata.num_rows:,} rows; "
            "it is corrupt or was not written by reelshards"
        )
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    _require_size(sum(group.total_byte_size for group in groups), num_bytes, name)
    stored = metadata.serialized_size + sum(
        group.column(number).total_compressed_size
        for group in groups
        for number in range(group.num_columns)
    )
    if num_bytes > MAX_UNCHECKED_BYTES + 2 * stored:
        raise FormatError(
            f"{name} has {num_bytes:,} bytes, but its footer describes {stored:,}; "
            "it is corrupt or was not written by reelshards"
        )


def _check_texts(table: pa.Table, num_bytes: int, name: str) -> None:
    """Raise `FormatError` if the texts of a table would be too large when each is written out."""
    total = 0
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            lengths = pc.binary_length(chunk.dictionary).fill_null(0).to_numpy(False)
            counts = np.bincount(chunk.indices.drop_null().to_numpy(False), minlength=len(lengths))
            total += int(counts @ lengths.astype(np.int64)) if len(lengths) else 0
    _require_size(total, num_bytes, name)


def _require_size(table_bytes: int, num_bytes: int, name: str) -> None:
    if table_bytes > MIN_TABLE_BYTES + TABLE_BYTES_PER_BYTE * num_bytes:
        raise FormatError(
            f"{name} has {num_bytes:,} bytes, but its table would take {table_bytes:,}; "
            "it is corrupt or was not written by reelshards"
        )


def _plain(item: pa.Field) -> pa.Field:
    return item.with_type(item.type.value_type) if pa.types.is_dictionary(item.type) else item
