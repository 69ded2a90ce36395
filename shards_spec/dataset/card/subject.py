"""What a card describes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards_spec.recipe import NANOSECONDS
from shards_spec.redaction import plain, redacted
from shards_spec.schema import MovieRow

#: Longest value that a card shows, characters.
_MAX_LENGTH = 200
#: Longest text in which secrets are looked for, which takes a time that grows with its square.
_MAX_READ = 1_000

_HOUR_NS = 3_600 * NANOSECONDS


@dataclass(frozen=True)
class TableFile:
    """A table of the dataset, as stored."""

    key: str
    sha256: str
    num_bytes: int
    schema: pa.Schema

    @staticmethod
    def of(key: str, data: bytes) -> TableFile:
        """A table from its bytes, which are readable Parquet."""
        schema = pq.read_schema(pa.BufferReader(data))
        return TableFile(key, hashlib.sha256(data).hexdigest(), len(data), schema)

    @staticmethod
    def of_file(key: str, path: Path) -> TableFile:
        """A table from a local copy."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return TableFile(key, digest, path.stat().st_size, pq.read_schema(path))


@dataclass(frozen=True)
class Subject:
    """A dataset to be described."""

    info: Mapping[str, Any]
    """Content of `dataset.json`."""
    rows: Sequence[MovieRow]
    """All movies of the index."""
    tables: Sequence[TableFile]
    """All tables that are for readers."""

    @property
    def totals(self) -> Mapping[str, int]:
        """The totals of `dataset.json`."""
        totals: Mapping[str, int] = self.info["totals"]
        return totals

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The settings of the recipe."""
        recipe: Mapping[str, Any] = self.info["recipe"]
        return recipe

    @property
    def done(self) -> list[MovieRow]:
        """Movies that are in the dataset."""
        return [row for row in self.rows if row.status == "done"]

    @property
    def movie_hours(self) -> float:
        """Total length of the movies, hours."""
        return self.totals["duration_ns"] / _HOUR_NS

    @property
    def clip_hours(self) -> float:
        """Total length of the clips, hours; overlapping clips count as often as they are stored."""
        return float(self.totals["clips"] * self.recipe["num_frames"] / self.recipe["fps"] / 3_600)

    @property
    def dropped(self) -> dict[str, int]:
        """Number of dropped clips by reason; only reasons that occur."""
        reasons = [
            name.removeprefix("dropped_")
            for name in MovieRow.__dataclass_fields__
            if name.startswith("dropped_")
        ]
        counts = {
            name: sum(getattr(row, f"dropped_{name}") for row in self.rows) for name in reasons
        }
        return {name: count for name, count in counts.items() if count}

    @property
    def not_chosen(self) -> int:
        """Number of clips that were not made because the recipe wants only some."""
        return sum(row.clips_not_chosen for row in self.rows)

    def counted(self, column: str) -> dict[str, int]:
        """Number of movies in the dataset by the value of a text column, most frequent first."""
        return ordered(Counter(getattr(row, column) for row in self.done if getattr(row, column)))

    @property
    def further_columns(self) -> list[str]:
        """Columns of the manifest that the dataset carries."""
        return sorted({name for row in self.rows for name in row.extra})


def ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first, and equally frequent ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def shown(text: str) -> str:
    """Untrusted text on one line, without secrets and not too long."""
    if len(text) > _MAX_READ:
        # Without the last word: the cut may have hidden by what a secret is recognized.
        words, _, word = text[:_MAX_READ].rpartition(" ")
        text = f"{words or word[:_MAX_LENGTH].partition('://')[0]}…"
    text = plain(redacted(text))
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 1]}…"
