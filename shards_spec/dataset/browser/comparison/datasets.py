"""What differs between two datasets: recipes, movies, and clip by clip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec.dataset.browser.catalog import Catalog, numbers
from shards_spec.dataset.browser.comparison.absence import Absences
from shards_spec.dataset.reader import Dataset
from shards_spec.schema.columns import MEASURED_COLUMNS
from shards_spec.schema.tables import CLIPS_SCHEMA, MOVIES_SCHEMA

#: Columns of clips that say where a clip is stored, not what it is.
_LOCATION = ("shard", "tar_offset", "tar_bytes")

#: Columns of movies that do not make two movies different: measured, where the source and the
#: shards are, and what the recipes and the clips say themselves.
_INCIDENTAL = (
    *MEASURED_COLUMNS,
    *("source_uri", "source_root", "source_modified_ns", "recipe_fingerprint"),
    *("num_clips", "num_shards", "shard_bytes", "first_shard"),
)


@dataclass(frozen=True)
class Change:
    """A value that differs."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class MovieDifference:
    """How a movie differs; numbers of its clips."""

    movie_id: str
    where: str
    """`both`, `first` or `second`: which dataset has it."""
    equal: int
    changed: int
    only_first: int
    only_second: int
    columns: tuple[str, ...]
    """Columns of the movie's row that differ, apart from measured ones."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        differing = self.changed + self.only_first + self.only_second
        return self.where == "both" and not differing and not self.columns


class Comparison:
    """Two datasets side by side; computed once, a column at a time."""

    def __init__(self, first: Catalog, second: Catalog) -> None:
        self.first, self.second = first, second
        self.absent_from_first, self.absent_from_second = Absences(first), Absences(second)

    @cached_property
    def settings(self) -> list[Change]:
        """Recipe settings and versions that differ."""
        return changes(_settings(self.first.dataset), _settings(self.second.dataset))

    @cached_property
    def movies(self) -> list[MovieDifference]:
        """All movies of either dataset, in the order of their ids."""
        counts = self._clip_counts
        columns = self._movie_columns
        in_first, in_second = set(self.first.movie_ids), set(self.second.movie_ids)
        result = []
        for movie_id in sorted(in_first | in_second):
            where = "both"
            if movie_id not in in_second:
                where = "first"
            elif movie_id not in in_first:
                where = "second"
            numbers_of = counts.get(movie_id, (0, 0, 0, 0))
            result.append(MovieDifference(movie_id, where, *numbers_of, columns.get(movie_id, ())))
        return result

    @cached_property
    def clip_columns(self) -> dict[str, int]:
        """Columns of clips that differ, and in how many clips."""
        rows, others = self._matched
        first, second = self.first.dataset.clips.take(rows), self.second.dataset.clips.take(others)
        return {
            name: int(differs.sum())
            for name, differs in ((name, _differs(first, second, name)) for name in _COMPARED)
            if differs.any()
        }

    @cached_property
    def absences(self) -> tuple[dict[str, int], dict[str, int]]:
        """Clips that only the second, and that only the first has, by reason; see `Absences`."""
        first, second = self.first.dataset.clips, self.second.dataset.clips
        rows, others = self._matched
        only_first = np.delete(np.arange(first.num_rows), rows.to_numpy())
        only_second = np.delete(np.arange(second.num_rows), others.to_numpy())
        return (
            self.absent_from_first.counts(second.take(pa.array(only_second))),
            self.absent_from_second.counts(first.take(pa.array(only_first))),
        )

    def clip_rows(self, movie_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """A movie's clips in both datasets, in the order of time."""
        sides = (self.first.clips_of(movie_id), self.second.clips_of(movie_id))
        return sides[0].to_pylist(), sides[1].to_pylist()

    @cached_property
    def _matched(self) -> tuple[pa.Array, pa.Array]:
        """Rows of the clips that both have, in the first and in the second dataset."""
        first, second = self.first.dataset.clips, self.second.dataset.clips
        found = pc.index_in(first["clip_id"].combine_chunks(), second["clip_id"].combine_chunks())
        is_found = pc.is_valid(found).to_numpy(zero_copy_only=False)
        rows = pa.array(np.flatnonzero(is_found))
        return rows, found.drop_null()

    @cached_property
    def _clip_counts(self) -> dict[str, tuple[int, int, int, int]]:
        """For each movie: equal, changed, only in the first, only in the second."""
        rows, others = self._matched
        first, second = self.first.dataset.clips, self.second.dataset.clips
        is_changed = np.zeros(len(rows), dtype=bool)
        left, right = first.take(rows), second.take(others)
        for name in _COMPARED:
            is_changed |= _differs(left, right, name)
        only_first, only_second = np.ones(first.num_rows, bool), np.ones(second.num_rows, bool)
        only_first[rows.to_numpy()] = False
        only_second[others.to_numpy()] = False
        parts = (
            _per_movie(left, ~is_changed),
            _per_movie(left, is_changed),
            _per_movie(first, only_first),
            _per_movie(second, only_second),
        )
        names = set().union(*parts)
        return {
            name: (
                parts[0].get(name, 0),
                parts[1].get(name, 0),
                parts[2].get(name, 0),
                parts[3].get(name, 0),
            )
            for name in names
        }

    @cached_property
    def _movie_columns(self) -> dict[str, tuple[str, ...]]:
        first, second = self.first.dataset.movies, self.second.dataset.movies
        found = pc.index_in(first["movie_id"].combine_chunks(), second["movie_id"].combine_chunks())
        is_found = pc.is_valid(found).to_numpy(zero_copy_only=False)
        left = first.filter(pa.array(is_found))
        right = second.take(found.drop_null())
        names = [
            name
            for name in MOVIES_SCHEMA.names
            if name in left.schema.names and name in right.schema.names and name not in _INCIDENTAL
        ]
        differs = {name: _differs(left, right, name) for name in names}
        return {
            movie_id: tuple(name for name in names if differs[name][row])
            for row, movie_id in enumerate(left["movie_id"].to_pylist())
        }


#: Columns of clips that are compared; the checksum covers all bytes.
_COMPARED = tuple(name for name in CLIPS_SCHEMA.names if name not in (*_LOCATION, "clip_id"))


def _differs(left: pa.Table, right: pa.Table, name: str) -> NDArray[np.bool_]:
    if pa.types.is_string(left.schema.field(name).type):
        return np.asarray(pc.not_equal(left[name], right[name]).to_numpy())
    first, second = numbers(left, name), numbers(right, name)
    # Nulls are NaN here.
    return np.asarray((first != second) & ~(np.isnan(first) & np.isnan(second)))


def _per_movie(clips: pa.Table, is_in: NDArray[np.bool_]) -> dict[str, int]:
    rows = pc.value_counts(clips["movie_id"].filter(pa.array(is_in))).to_pylist()
    return {row["values"]: row["counts"] for row in rows}


def changes(first: dict[str, str], second: dict[str, str]) -> list[Change]:
    """Values that differ between two rows; a missing one is empty."""
    names = dict.fromkeys([*first, *second])
    pairs = ((name, first.get(name, ""), second.get(name, "")) for name in names)
    return [Change(name, left, right) for name, left, right in pairs if left != right]


def _settings(dataset: Dataset) -> dict[str, str]:
    values = {name: str(value) for name, value in dataset.recipe.to_json().items()}
    return {
        **values,
        "ffmpeg": str(dataset.info.get("ffmpeg_version", "")),
        "format": str(dataset.info.get("spec_version", "")),
    }
