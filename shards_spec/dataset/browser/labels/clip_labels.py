"""Finding the labels and texts of a clip, of a movie, and of all clips."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.labels.schema import TableInfo
from shards_spec.dataset.labels.tables import list_tables, read_clip_labels
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError


@dataclass(frozen=True)
class ClipLabel:
    """A label or text of a clip."""

    table: str
    label: str
    """Empty if it is only a text."""
    text: str
    overlap: float
    """Share of the clip that it covers, (0, 1]."""

    @property
    def words(self) -> str:
        """Label and text in one."""
        return ": ".join(part for part in (self.label, self.text) if part)


@dataclass(frozen=True)
class _Table:
    rows: pa.Table
    ranges: dict[str, tuple[int, int]]
    """First and last (exclusive) row of each movie."""


class LabelCatalog:
    """The labels of a dataset; each table is read once, when it is first needed."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._tables: dict[str, _Table] = {}
        self._lock = Lock()

    @cached_property
    def infos(self) -> tuple[TableInfo, ...]:
        """All tables of labels, by name."""
        return list_tables(self._dataset.storage)

    def __contains__(self, name: str) -> bool:
        """Whether there is a table of that name."""
        return any(info.name == name for info in self.infos)

    def table(self, name: str) -> pa.Table:
        """All rows of a table, in the order of movies and of time."""
        return self._read(name).rows

    def counts(self, name: str) -> list[tuple[str, int]]:
        """The labels of a table and their clips, the most frequent first."""
        rows = self.table(name)
        counted: Any = pc.value_counts(rows["label"].drop_null())
        pairs = [(item["values"].as_py(), item["counts"].as_py()) for item in counted]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def of_movie(self, movie_id: str) -> dict[str, list[ClipLabel]]:
        """The labels of a movie's clips, by clip id."""
        found: dict[str, list[ClipLabel]] = defaultdict(list)
        for info in self.infos:
            table = self._read(info.name)
            first, end = table.ranges.get(movie_id, (0, 0))
            for row in table.rows.slice(first, end - first).to_pylist():
                label, text = row["label"] or "", row["text"] or ""
                found[row["clip_id"]].append(ClipLabel(info.name, label, text, row["overlap"]))
        return dict(found)

    def of_clip(self, clip_id: str) -> list[ClipLabel]:
        """The labels of a clip."""
        return self.of_movie(clip_id.rpartition("_")[0]).get(clip_id, [])

    def _read(self, name: str) -> _Table:
        with self._lock:
            if name not in self._tables:
                if name not in self:
                    raise InputError(f"the dataset has no labels {name!r}")
                dataset = self._dataset
                rows, _ = read_clip_labels(
                    dataset.storage, name, dataset.clips, dataset.clips_fingerprint
                )
                order = [(column, "ascending") for column in ("movie_id", "start_ns", "clip_id")]
                rows = rows.take(pc.sort_indices(rows, order))
                self._tables[name] = _Table(rows, _movie_ranges(rows))
            return self._tables[name]


def _movie_ranges(rows: pa.Table) -> dict[str, tuple[int, int]]:
    if not rows.num_rows:
        return {}
    runs: Any = pc.run_end_encode(rows["movie_id"].combine_chunks())
    ends: list[int] = runs.run_ends.to_pylist()
    return dict(zip(runs.values.to_pylist(), zip([0, *ends], ends, strict=False), strict=True))
