"""Clips that show or play what clips of other movies do, as `reelshards duplicates` has found.

They would be each other's negatives although they are the same, and on both sides of the split. So
of each set of spans (the opening of all episodes; a film and its trailer) only the clips of one
movie are used, the first that has eligible clips in it; and movies that share more than a logo are
on one side of the split. Clips that show one color are not used at all. Datasets that were not
searched are used as they are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards_spec.dataset.duplicates import KIND_COLUMN, clip_kinds, span_clips
from shards_spec.errors import InputError
from shards_spec.schema.duplicates import LINKED_KINDS


@dataclass(frozen=True)
class Repeat:
    """Clips of a movie that are left out because they repeat those of another movie."""

    movie_id: str
    repeats: str
    """The movie whose clips are used instead; empty for clips that show one color."""
    kind: str
    num_clips: int
    """Clips left out that are eligible otherwise."""


def linked_movies(duplicates: pa.Table | None) -> list[tuple[str, str]]:
    """Pairs of movies that belong on one side of a split."""
    if duplicates is None:
        return []
    columns = (duplicates[name].to_pylist() for name in ("kind", "movie_id", "other_movie_id"))
    pairs = (
        (one, other) for kind, one, other in zip(*columns, strict=True) if kind in LINKED_KINDS
    )
    return list(dict.fromkeys(pairs))


def without_repeats(
    clips: pa.Table, keep: NDArray[np.bool_], duplicates: pa.Table | None
) -> tuple[NDArray[np.bool_], tuple[Repeat, ...]]:
    """Which of the eligible clips are used, and what is left out of them.

    Args:
        clips: the table of clips; `movie_id`, `start_ns` and `end_ns` are read.
        keep: (num_rows,) the clips that are eligible otherwise; not modified.
        duplicates: `DUPLICATES_SCHEMA`; None leaves everything as it is.
    """
    if duplicates is None or not duplicates.num_rows:
        return keep, ()
    sets: dict[int, dict[str, list[NDArray[np.int64]]]] = defaultdict(lambda: defaultdict(list))
    kinds: dict[tuple[int, str], str] = {}
    for span in span_clips(clips, duplicates):
        rows = span.rows[keep[span.rows]]
        if len(rows):
            sets[span.set_number][span.movie_id].append(rows)
            kinds.setdefault((span.set_number, span.movie_id), span.kind)
    left = keep.copy()
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for number in sorted(sets):
        # Movies are in the order of the table; the first one is used.
        used, *others = sorted(sets[number].items(), key=lambda item: int(item[1][0][0]))
        if number == 0:
            used, others = ("", []), [used, *others]
        for movie_id, parts in others:
            rows = np.unique(np.concatenate(parts))
            rows = rows[left[rows]]
            left[rows] = False
            if len(rows):
                counts[movie_id, used[0], kinds[number, movie_id]] += len(rows)
    return left, tuple(Repeat(*names, count) for names, count in counts.items())


def with_kinds(clips: pa.Table, columns: list[str], duplicates: pa.Table | None) -> pa.Table:
    """The clips with the column `near_duplicate`, if a filter reads it.

    Raises `InputError` if it does and the dataset was not searched.
    """
    if KIND_COLUMN not in columns or KIND_COLUMN in clips.column_names:
        return clips
    if duplicates is None:
        raise InputError(
            f"where reads {KIND_COLUMN}, but nobody has searched for near-duplicates; run: "
            "reelshards duplicates DATASET"
        )
    return clips.append_column(KIND_COLUMN, clip_kinds(clips, duplicates))
