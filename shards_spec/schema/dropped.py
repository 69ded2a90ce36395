"""Clips that rules dropped: what a commit record lists of them, and `index/dropped.parquet`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from sys import intern
from typing import Any

import pyarrow as pa

#: Why clips are dropped, in the order in which the rules are applied; the first match counts.
DROP_REASONS = ("too_short", "damaged", "black", "frozen", "silent")

#: Why clips of a lockfile are not in a dataset that was rebuilt from it. No column of the movie
#: counts them.
REBUILD_REASONS = ("missing", "poor_fit", "other_audio")

#: Clip number of a shot that is too short for a clip.
NO_CLIP = -1

#: One row for each dropped clip, sorted by (movie_id, start_ns).
DROPPED_SCHEMA = pa.schema(
    [
        pa.field("movie_id", pa.string(), nullable=False),
        pa.field("clip_number", pa.int32(), nullable=False),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class DroppedClips:
    """The dropped clips of a movie in the order of time: one value per clip in each field."""

    clip_number: tuple[int, ...] = ()
    """Position on the movie's grid; `NO_CLIP` for a shot that is too short for a clip."""
    start_ns: tuple[int, ...] = ()
    end_ns: tuple[int, ...] = ()
    reason: tuple[str, ...] = ()
    """One of `DROP_REASONS` or `REBUILD_REASONS`; a later version of the format may have more."""

    def __len__(self) -> int:
        """How many clips were dropped."""
        return len(self.reason)

    @property
    def counts(self) -> Counter[str]:
        """Dropped clips by reason."""
        return Counter(self.reason)

    def to_json(self) -> dict[str, list[Any]]:
        """Plain values, by field."""
        return {item.name: list(getattr(self, item.name)) for item in fields(self)}

    @staticmethod
    def from_json(values: Any) -> DroppedClips:
        """Inverse of `to_json`. Raises `ValueError` for anything else."""
        columns = {item.name: _column(values, item.name) for item in fields(DroppedClips)}
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError("its dropped clips have fields of different lengths")
        return DroppedClips(**columns)


def sorted_drops(clips: Iterable[tuple[int, int, int, str]]) -> DroppedClips:
    """Dropped clips in the order of time, from (clip number, start, end, reason) of each."""
    ordered = sorted(clips, key=lambda clip: (clip[1], clip[0]))
    return DroppedClips(*zip(*ordered, strict=True)) if ordered else DroppedClips()


def dropped_table(drops: Mapping[str, DroppedClips]) -> pa.Table:
    """`DROPPED_SCHEMA` of the dropped clips of movies, by movie id."""
    movie_ids: list[str] = []
    for movie_id in sorted(drops):
        movie_ids += [movie_id] * len(drops[movie_id])
    columns = [pa.array(movie_ids, pa.string())]
    for item in list(DROPPED_SCHEMA)[1:]:
        values = (getattr(drops[movie_id], item.name) for movie_id in sorted(drops))
        columns.append(pa.array([value for part in values for value in part], item.type))
    return pa.Table.from_arrays(columns, schema=DROPPED_SCHEMA)


def _column(values: Any, name: str) -> tuple[Any, ...]:
    column = values[name] if isinstance(values, dict) else None
    kind, bits = (str, 0) if name == "reason" else (int, 31 if name == "clip_number" else 63)
    if not isinstance(column, list) or not all(type(value) is kind for value in column):
        raise ValueError(f"the {name} of its dropped clips is not a list of {kind.__name__}")
    if bits and not all(-(1 << bits) <= value < 1 << bits for value in column):
        raise ValueError(f"the {name} of its dropped clips has impossible values")
    return tuple(column) if bits else tuple(map(intern, column))
