"""Puts labels into a dataset, and takes them out, under its lease."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import lease
from pipeline.config import STORE_PATIENCE_SECONDS
from shards_spec import layout
from shards_spec.dataset.index import INDEX_FOLDERS, refresh_card
from shards_spec.dataset.labels.findings import Finding, Findings
from shards_spec.dataset.labels.label_files import Columns, read_label_file
from shards_spec.dataset.labels.ranges import ranges_of_rows, ranges_table
from shards_spec.dataset.labels.schema import LabeledRange, TableInfo, check_name
from shards_spec.dataset.labels.tables import rejoin_tables, remove_table, write_ranges
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import InputError
from shards_spec.storage import Storage, owned_folder


@dataclass(frozen=True)
class Imported:
    """What an import has written."""

    table: TableInfo
    findings: tuple[Finding, ...]

    @property
    def has_problems(self) -> bool:
        """Whether something in the input should be corrected."""
        return any(finding.is_problem for finding in self.findings)


def read_file(
    dataset: Dataset, address: str, columns: Columns, match: str, encoding: str
) -> tuple[list[LabeledRange], Findings]:
    """Labels of a local or remote file, for the movies of a dataset.

    Raises `InputError` if the file cannot be read, lacks a column, or names no movie of the
    dataset.
    """
    findings = Findings()
    data, name = _content(address)
    rows = read_label_file(data, name, columns, findings, encoding)
    return ranges_of_rows(rows, dataset.movies, findings, match), findings


def import_ranges(
    storage: Storage,
    name: str,
    ranges: Iterable[LabeledRange],
    findings: Findings,
    expected: Collection[str] = (),
) -> Imported:
    """Write ranges as the labels `name`, which are replaced if they exist, and join the clips.

    Findings for `expected` reasons are not reported.

    Raises `InputError` if no range is usable; then nothing is written.
    """
    check_name(name)
    with lease.hold_lease(storage) as held:
        fenced = held.fenced(storage.with_patience(STORE_PATIENCE_SECONDS))
        table = ranges_table(ranges, open_dataset(storage).movies, findings)
        if not table.num_rows:
            found = "; ".join(map(str, findings.all())) or "it has no rows"
            raise InputError(f"no label could be used, so nothing was written. {found}")
        write_ranges(fenced, name, table)
        tables = _rejoin(fenced)
    written = next(info for info in tables if info.name == name)
    return Imported(written, tuple(f for f in findings.all() if f.reason not in expected))


def remove_labels(storage: Storage, name: str) -> None:
    """Delete labels from a dataset. Raises `InputError` if it has none of that name."""
    with lease.hold_lease(storage) as held:
        fenced = held.fenced(storage.with_patience(STORE_PATIENCE_SECONDS))
        remove_table(fenced, name)
        _rejoin(fenced)


def name_of_file(address: str) -> str:
    """A name for the labels of a file: `MovieNet tags.csv` becomes `movienet_tags`."""
    stem = Path(address.rstrip("/").rpartition("/")[2]).stem
    return re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")


def _rejoin(storage: Storage) -> tuple[TableInfo, ...]:
    with _clips_file(storage) as path:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        tables = rejoin_tables(storage, path, digest).infos
    refresh_card(storage)
    return tables


@contextlib.contextmanager
def _clips_file(storage: Storage) -> Iterator[Path]:
    """A local copy of the table of clips."""
    if storage.is_local:
        yield storage.local_path(layout.CLIPS_PARQUET)
        return
    with owned_folder(INDEX_FOLDERS) as folder:
        path = Path(folder) / "clips.parquet"
        storage.download(layout.CLIPS_PARQUET, path)
        yield path


def _content(address: str) -> tuple[bytes, str]:
    """Bytes and name of a file."""
    name = address.rstrip("/").rpartition("/")[2]
    if "://" in address:
        return Storage(address.rstrip("/").rpartition("/")[0]).get(name), name
    try:
        return Path(address).read_bytes(), name
    except OSError as error:
        raise InputError(f"cannot read {address}: {error.strerror}") from error
