"""The rows of a manifest as it is written: CSV, TSV, JSON Lines, a JSON list, or Parquet.

CSV may be separated by commas, semicolons (as spreadsheets in many countries write it) or tabs.
Text is UTF-8, or UTF-16 with a byte order mark. All but Parquet may be compressed with gzip.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from shards_spec.errors import FormatError, InputError
from shards_spec.schema.tables import parse_table

_SEPARATED = {".csv": ",;\t", ".tsv": "\t"}
_JSON_LINES = frozenset({".jsonl", ".ndjson"})
_JSON, _PARQUET, _GZIP = ".json", ".parquet", ".gz"
#: File name endings of manifests.
SUFFIXES = (*_SEPARATED, *sorted(_JSON_LINES), _JSON, _PARQUET)

#: Largest manifest after decompression: some million rows.
MAX_BYTES = 1 << 30
#: Any mark of UTF-16 also starts some file in another encoding, but hardly one with a header row.
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Record:
    """One row as written."""

    where: str
    """Manifest, row and line, for messages."""
    values: Any
    """Column -> value; anything else is not valid."""


def manifest_suffix(name: str) -> str:
    """`.csv` for `corpus.csv` and `corpus.csv.gz`; empty if a file is not a manifest by its name.

    Parquet is compressed in itself.
    """
    path = PurePosixPath(name.lower())
    is_compressed = path.suffix == _GZIP
    suffix = PurePosixPath(path.stem).suffix if is_compressed else path.suffix
    is_manifest = suffix in SUFFIXES and not (is_compressed and suffix == _PARQUET)
    return suffix if is_manifest else ""


def read_records(data: bytes, name: str) -> Iterator[Record]:
    """The rows of a manifest in order. Raises `InputError` if it cannot be parsed, with the line.

    Lines without any value are not rows.
    """
    suffix = manifest_suffix(name)
    if suffix == _PARQUET:
        return _parquet_records(data, name)
    text = _text(_decompressed(data, name) if name.lower().endswith(_GZIP) else data, name)
    if suffix == _JSON:
        return _json_records(text, name)
    if suffix in _JSON_LINES:
        return _json_line_records(text, name)
    return _separated_records(text, name, _SEPARATED[suffix])


def _decompressed(data: bytes, name: str) -> bytes:
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = decompressor.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise _unreadable(name, f"it is not valid gzip ({error})") from error
    if decompressor.unconsumed_tail:
        raise _unreadable(name, f"it has more than {MAX_BYTES >> 30} GiB of text; split it")
    if not decompressor.eof:
        raise _unreadable(name, "the gzip file is cut off")
    return text


def _text(data: bytes, name: str) -> str:
    encoding = _BYTE_ORDER_MARKS.get(data[:2], "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(
            name, f"line {line} is not valid {encoding.upper()[:6].rstrip('-')}; save it as UTF-8"
        ) from error


def _parquet_records(data: bytes, name: str) -> Iterator[Record]:
    try:
        table = parse_table(data, name)
    except FormatError as error:
        raise InputError(f"manifest {error}") from error
    _require_unique(table.schema.names, name)
    for number, values in enumerate(table.to_pylist(), start=1):
        yield Record(f"{name}, row {number}", values)


def _json_records(text: str, name: str) -> Iterator[Record]:
    items = _parsed(text, name)
    if not isinstance(items, list):
        raise _unreadable(name, "it is not a list of objects; for one object per line: .jsonl")
    for number, values in enumerate(items, start=1):
        yield Record(f"{name}, row {number}", values)


def _json_line_records(text: str, name: str) -> Iterator[Record]:
    # Not `splitlines`: a text may contain other line separators, such as U+2028.
    lines = [(at, line) for at, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for number, (at, line) in enumerate(lines, start=1):
        yield Record(f"{name}, row {number} (line {at})", _parsed(line, name, at))


def _separated_records(text: str, name: str, separators: str) -> Iterator[Record]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_separator(text, separators), strict=True
    )
    columns: list[str] | None = None
    number = end = 0
    try:
        for cells in reader:
            line, end = end + 1, reader.line_num
            if not any(cells):
                continue
            if columns is None:
                columns = [cell.strip() for cell in cells]
                _require_unique([column for column in columns if column], name)
                continue
            number += 1
            where = f"{name}, row {number} (line {line})"
            if any(surplus := cells[len(columns) :]):
                raise InputError(
                    f"{where}: more cells than columns: {surplus}; quote cells that contain "
                    f"{reader.dialect.delimiter!r}"
                )
            yield Record(where, dict(zip(columns, cells, strict=False)))
    except csv.Error as error:
        raise _unreadable(name, f"line {end + 1}: {error}") from error


def _separator(text: str, separators: str) -> str:
    """The separator that makes one of the header's cells `uri`; the first if none does."""
    header = next((line for line in text.splitlines() if line.strip()), "")

    def cells(separator: str) -> list[str]:
        return [cell.strip().strip('"') for cell in header.split(separator)]

    return next((one for one in separators if "uri" in cells(one)), separators[0])


def _parsed(text: str, name: str, line: int = 0) -> Any:
    """JSON; `line` is its number in the file, unless the text is the whole file."""
    try:
        return json.loads(text, object_pairs_hook=_unique_pairs)
    except json.JSONDecodeError as error:
        raise _unreadable(name, f"line {line or error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(name, f"line {line}: {error}" if line else str(error)) from error


def _unique_pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    repeated = _first_repeated([name for name, _ in pairs])
    if repeated is not None:
        raise ValueError(f"{repeated!r} occurs twice in an object")
    return dict(pairs)


def _require_unique(columns: Sequence[str], name: str) -> None:
    repeated = _first_repeated(columns)
    if repeated is not None:
        raise _unreadable(name, f"column {repeated!r} occurs twice; rename or remove one")


def _first_repeated(names: Sequence[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _unreadable(name: str, why: str) -> InputError:
    return InputError(f"manifest {name} is not readable: {why}")
