"""The clips that a policy may use, as flat arrays: all that a batch plan needs to know of them.

Two numberings: a clip's *row* is its row in the dataset's table of clips; its *place* is its number
among the eligible clips, in the same order. Plans are made of places and speak in rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards_spec.errors import FormatError, PolicyError
from shards_spec.reader import Dataset
from trainer.plan.policy import BatchPolicy, heldout
from trainer.plan.row_filter import select

Ints = NDArray[np.int64]

_Array = TypeVar("_Array", Ints, NDArray[np.int32])


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """The eligible clips of a dataset under a policy, ordered as in its shards.

    E is the number of eligible clips. The arrays are (E,) and must not be changed.
    """

    row: Ints
    """Row in the table of clips; ascending."""
    movie: NDArray[np.int32]
    """Number of the movie in order of first appearance in the whole table; ascending."""
    group: NDArray[np.int32]
    """Number of the group likewise; equal to `movie` unless the policy groups by `group`."""
    shard: NDArray[np.int32]
    """Number of the shard; ascending."""
    offset: Ints
    """First byte in the shard."""
    num_bytes: Ints
    """Bytes in the shard."""
    start_ns: Ints
    """Start on the movie timeline."""
    end_ns: Ints
    """End on the movie timeline, exclusive."""
    group_names: tuple[str, ...]
    """Name of each group number."""
    clip_ids: pa.ChunkedArray
    """(num_rows,) clip ids of the whole table."""
    policy: BatchPolicy
    """The policy that chose the clips."""
    fingerprint: str
    """Of the dataset's index, whatever the policy."""

    @property
    def num_rows(self) -> int:
        """Clips of the dataset, eligible or not."""
        return len(self.clip_ids)

    @property
    def num_eligible(self) -> int:
        """E."""
        return len(self.row)

    def places(self, rows: Ints) -> Ints:
        """Places of eligible rows, in the shape of `rows`."""
        if rows.size < len(self.row) // 100:
            return np.searchsorted(self.row, rows)
        place = np.full(self.num_rows, -1, dtype=np.int64)
        place[self.row] = np.arange(len(self.row))
        return place[rows]

    def __repr__(self) -> str:
        return f"ClipIndex({self.num_eligible} of {self.num_rows} clips, {self.fingerprint})"

    @staticmethod
    def from_dataset(dataset: Dataset, policy: BatchPolicy) -> ClipIndex:
        """The clips of `dataset` that `policy` allows.

        Raises:
            InputError: the filter names an unknown column or compares unlike types.
            PolicyError: no clip is eligible.
        """
        return ClipIndex.from_table(dataset.clips, policy, dataset.fingerprint)

    @staticmethod
    def from_table(clips: pa.Table, policy: BatchPolicy, fingerprint: str) -> ClipIndex:
        """The same from a table of clips; only the columns that are used need to be there."""
        movie, movie_names = _numbers(clips["movie_id"])
        group, group_names = movie, movie_names
        if policy.group_by == "group":
            group, group_names = _numbers(clips["group"])
        shard, _ = _numbers(clips["shard"])
        if bool((np.diff(shard) < 0).any()) or bool((np.diff(movie) < 0).any()):
            raise FormatError("the clips of the index are not sorted by movie and shard")
        keep = select(clips, policy.where)
        keep &= _side(group_names, policy)[group]
        row = np.flatnonzero(keep).astype(np.int64)
        if not len(row):
            raise _nothing_eligible(clips.num_rows, len(movie_names), policy)
        return ClipIndex(
            row=row,
            movie=_taken(movie, row),
            group=_taken(group, row),
            shard=_taken(shard, row),
            **{
                name: _taken(_column(clips, column), row)
                for name, column in (
                    ("offset", "tar_offset"),
                    ("num_bytes", "tar_bytes"),
                    ("start_ns", "start_ns"),
                    ("end_ns", "end_ns"),
                )
            },
            group_names=group_names,
            clip_ids=clips["clip_id"],
            policy=policy,
            fingerprint=fingerprint,
        )


def _nothing_eligible(num_rows: int, num_movies: int, policy: BatchPolicy) -> PolicyError:
    advice = [f"loosen where = {policy.where!r}"] if policy.where else []
    if policy.split != "all":
        advice += [
            f"change split = {policy.split!r} or heldout_fraction = {policy.heldout_fraction:g}"
        ]
    return PolicyError(
        f"none of the {num_rows} clips of {num_movies} movies is eligible; "
        f"{', or '.join([*advice, 'preprocess more movies'])}"
    )


def movie_numbers(clips: pa.Table) -> NDArray[np.int32]:
    """(num_rows,) number of each clip's movie, in order of first appearance."""
    return _numbers(clips["movie_id"])[0]


def _side(group_names: tuple[str, ...], policy: BatchPolicy) -> NDArray[np.bool_]:
    """(num_groups,) bool: the groups (movies, by default) on the policy's side of the split."""
    if policy.split == "all":
        return np.ones(len(group_names), dtype=bool)
    # Judged by all movies of the dataset, so that a filter never changes who is held out.
    out = heldout(group_names, policy.heldout_fraction)
    return out if policy.split == "heldout" else ~out


def _numbers(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Equal texts as equal numbers, in order of first appearance, and the texts."""
    encoded: Any = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    return np.asarray(encoded.indices, dtype=np.int32), tuple(encoded.dictionary.to_pylist())


def _column(clips: pa.Table, name: str) -> Ints:
    return np.asarray(clips[name].to_numpy(), dtype=np.int64)


def _taken(column: _Array, row: Ints) -> _Array:
    """`column[row]`, without a copy when that is all of it."""
    return column if len(row) == len(column) else column[row]
