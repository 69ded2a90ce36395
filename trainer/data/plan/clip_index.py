"""The clips that a policy may use, as flat arrays: everything that a batch plan needs.

Clips are numbered in two ways: a clip's *row* is its row in the dataset's table of clips; its
*position* is its index among the eligible clips, in the same order. Planning computes with
positions; finished plans contain rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError, PolicyError
from trainer.data.mix import with_labels
from trainer.data.mix.mixed_dataset import Part, parts_of
from trainer.data.mix.names import number_of, with_plain_names
from trainer.data.plan.joined_clips import joined_neighbors
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.row_filter import matching_rows
from trainer.data.plan.sources import (
    MovieCopy,
    Sources,
    copies_to_drop,
    groups_of_sets,
    heldout_groups,
)
from trainer.data.plan.sources.repeats import Repeat, linked_movies, with_kinds, without_repeats

Ints = NDArray[np.int64]

_Array = TypeVar("_Array", Ints, NDArray[np.int32])


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """The eligible clips of a dataset under a policy, in the order of its shards.

    E is the number of eligible clips. The arrays have shape (E,) and must not be modified.
    """

    row: Ints
    """Row in the table of clips, ascending."""
    movie: NDArray[np.int32]
    """Number of the movie by first appearance in the whole table, ascending."""
    group: NDArray[np.int32]
    """Number of the group, likewise; equal to `movie` unless the policy groups by `group`."""
    shard: NDArray[np.int32]
    """Number of the shard, ascending."""
    offset: Ints
    """First byte within the shard."""
    num_bytes: Ints
    """Length within the shard, bytes."""
    start_ns: Ints
    """Start on the movie timeline, nanoseconds."""
    end_ns: Ints
    """End on the movie timeline, nanoseconds, exclusive: of the last clip of joined ones."""
    joined: Ints
    """(E, w) rows of the clips that are joined into one, in the order of time; w is
    `policy.joined_clips`. The first column is `row`."""
    group_names: tuple[str, ...]
    """Name of each group number."""
    datasets: tuple[str, ...]
    """URIs of the datasets; tables from elsewhere count as one."""
    dataset_of_group: Ints
    """Position in `datasets` by group number."""
    copies: tuple[MovieCopy, ...]
    """Movies left out because they are copies of others."""
    repeats: tuple[Repeat, ...]
    """Clips left out because they repeat clips of other movies."""
    clip_ids: pa.ChunkedArray
    """(num_rows,) clip ids of the whole table."""
    policy: BatchPolicy
    """The policy that selected the clips."""
    fingerprint: str
    """Fingerprint of the dataset's index, independent of the policy."""

    @property
    def num_rows(self) -> int:
        """Number of clips in the dataset, eligible or not."""
        return len(self.clip_ids)

    @property
    def num_eligible(self) -> int:
        """E, the number of eligible clips."""
        return len(self.row)

    def positions(self, rows: Ints) -> Ints:
        """Positions of eligible rows, in the shape of `rows`."""
        if rows.size < len(self.row) // 100:
            return np.searchsorted(self.row, rows)
        position = np.full(self.num_rows, -1, dtype=np.int64)
        position[self.row] = np.arange(len(self.row))
        return position[rows]

    def joined_rows(self, rows: Ints) -> Ints:
        """Rows of joined clips: (..., k) eligible rows -> (..., k * w), each with its followers."""
        joined = self.joined[self.positions(rows)]
        flat: Ints = joined.reshape(*rows.shape[:-1], -1)
        return flat

    @property
    def num_eligible_by_dataset(self) -> Ints:
        """(number of datasets,) eligible clips of each."""
        return np.bincount(self.dataset_of_group[self.group], minlength=len(self.datasets))

    def shares(self, per_step: int) -> tuple[Fraction, ...]:
        """How many of `per_step` groups each dataset provides, by `policy.data_weights`; without
        weights in proportion to the eligible clips.

        Raises `PolicyError` for another number of weights, and for a dataset without eligible
        clips.
        """
        weights = self.policy.data_weights or tuple(map(int, self.num_eligible_by_dataset))
        if len(weights) != len(self.datasets):
            raise PolicyError(
                f"data_weights has {len(weights)} values for {len(self.datasets)} datasets; give "
                "one for each dataset, in the same order"
            )
        for uri, num_eligible in zip(self.datasets, self.num_eligible_by_dataset, strict=True):
            if not num_eligible:
                raise PolicyError(
                    f"no clip of {uri} is eligible; loosen where or heldout_fraction, or leave "
                    "this dataset out"
                )
        total = sum(map(Fraction, weights))
        return tuple(per_step * Fraction(weight) / total for weight in weights)

    @staticmethod
    def movie_numbers(clips: pa.Table) -> NDArray[np.int32]:
        """(num_rows,) number of each row's movie in a table of clips, by first appearance."""
        return _numbers(clips["movie_id"])[0]

    def __repr__(self) -> str:
        return f"ClipIndex({self.num_eligible} of {self.num_rows} clips, {self.fingerprint})"

    @staticmethod
    def from_dataset(dataset: Dataset, policy: BatchPolicy) -> ClipIndex:
        """The clips of `dataset` that `policy` allows.

        Raises:
            InputError: the filter names an unknown column or compares incompatible types.
            PolicyError: no clip is eligible.
        """
        dataset = with_labels(dataset, policy.where_columns)
        return ClipIndex.from_table(
            dataset.clips,
            policy,
            dataset.fingerprint,
            dataset.movies,
            parts_of(dataset),
            dataset.duplicates,
        )

    @staticmethod
    def from_table(
        clips: pa.Table,
        policy: BatchPolicy,
        fingerprint: str,
        movies: pa.Table | None = None,
        parts: Sequence[Part] = (),
        duplicates: pa.Table | None = None,
    ) -> ClipIndex:
        """The same from a table of clips, which needs only the columns that are read.

        Without a table of movies, no movie is known to be a copy of another; without one of
        near-duplicates, no clip to repeat others. With several `parts`, the names of movies and
        groups are qualified.
        """
        movie, movie_names = _numbers(clips["movie_id"])
        group, group_names = movie, movie_names
        if policy.group_by == "group":
            group, group_names = _numbers(clips["group"])
        shard, _ = _numbers(clips["shard"])
        if bool((np.diff(shard) < 0).any()) or bool((np.diff(movie) < 0).any()):
            raise FormatError("the clips of the index are not sorted by movie and shard")
        is_mixed = len(parts) > 1
        sources = Sources.of(movies, linked_movies(duplicates))
        eligible = with_kinds(clips, policy.where_columns, duplicates)
        keep, copies = _eligible(eligible, movie, movie_names, policy, sources, is_mixed)
        keep, repeats = without_repeats(clips, keep, duplicates)
        row = np.flatnonzero(keep).astype(np.int64)
        start_ns, end_ns = _column(clips, "start_ns"), _column(clips, "end_ns")
        if not len(row):
            raise _nothing_eligible(clips.num_rows, len(movie_names), policy)
        joined = joined_neighbors(row, movie, start_ns, end_ns, policy.joined_clips)
        row = joined[:, 0]
        return ClipIndex(
            row=row,
            movie=_select(movie, row),
            group=_select(group, row),
            shard=_select(shard, row),
            offset=_select(_column(clips, "tar_offset"), row),
            num_bytes=_select(_column(clips, "tar_bytes"), row),
            start_ns=_select(start_ns, row),
            end_ns=_select(end_ns, joined[:, -1]),
            joined=joined,
            group_names=group_names,
            datasets=tuple(part.uri for part in parts) or ("",),
            dataset_of_group=_datasets_of(group_names, is_mixed),
            copies=copies,
            repeats=repeats,
            clip_ids=clips["clip_id"],
            policy=policy,
            fingerprint=fingerprint,
        )


def _eligible(
    clips: pa.Table,
    movie: NDArray[np.int32],
    movie_names: tuple[str, ...],
    policy: BatchPolicy,
    sources: Sources,
    is_mixed: bool,
) -> tuple[NDArray[np.bool_], tuple[MovieCopy, ...]]:
    """The rows that filter and split allow, and the copies of movies left out of them."""
    plain = with_plain_names(clips, policy.where_columns) if is_mixed else clips
    keep = matching_rows(plain, policy.where)
    keep &= _on_side(clips, movie, movie_names, policy, sources, is_mixed)[movie]
    num_eligible = np.bincount(movie[keep], minlength=len(movie_names))
    copies = copies_to_drop(movie_names, num_eligible, sources)
    if copies:
        left_out = {copy.movie_id for copy in copies}
        keep &= np.array([name not in left_out for name in movie_names])[movie]
    return keep, copies


def _nothing_eligible(num_rows: int, num_movies: int, policy: BatchPolicy) -> PolicyError:
    advice = [f"loosen where = {policy.where!r}"] if policy.where else []
    if policy.split != "all":
        advice += [
            f"change split = {policy.split!r} or heldout_fraction = {policy.heldout_fraction:g} "
            "(groups are held out as a whole: with a single group, all its movies are)"
        ]
    return PolicyError(
        f"none of the {num_rows} clips of {num_movies} movies is eligible; "
        f"{', or '.join([*advice, 'preprocess more movies'])}"
    )


def _on_side(
    clips: pa.Table,
    movie: NDArray[np.int32],
    movie_names: tuple[str, ...],
    policy: BatchPolicy,
    sources: Sources,
    is_mixed: bool,
) -> NDArray[np.bool_]:
    """(num_movies,) bool: the movies on the policy's side of the split.

    From all movies of the dataset, so that a filter never changes what is held out.
    """
    if policy.split == "all":
        return np.ones(len(movie_names), dtype=bool)
    firsts = np.flatnonzero(np.diff(movie, prepend=-1))
    names = clips["group"].take(pa.array(firsts)).to_pylist()
    groups = list(dict.fromkeys(names))
    linked = groups_of_sets(sources.same_source, dict(zip(movie_names, names, strict=True)))
    heldout = heldout_groups(
        groups,
        linked,
        policy.heldout_fraction,
        offset=policy.heldout_offset,
        are_qualified=is_mixed,
    )
    is_heldout = dict(zip(groups, heldout, strict=True))
    return np.array([is_heldout[name] == (policy.split == "heldout") for name in names])


def _datasets_of(group_names: tuple[str, ...], is_mixed: bool) -> Ints:
    """(number of groups,) position of each group's dataset, by its qualified name."""
    if not is_mixed:
        return np.zeros(len(group_names), dtype=np.int64)
    return np.array([number_of(name) - 1 for name in group_names], dtype=np.int64)


def _numbers(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """A number per distinct text, by first appearance, and the texts."""
    encoded: Any = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    return np.asarray(encoded.indices, dtype=np.int32), tuple(encoded.dictionary.to_pylist())


def _column(clips: pa.Table, name: str) -> Ints:
    return np.asarray(clips[name].to_numpy(), dtype=np.int64)


def _select(column: _Array, row: Ints) -> _Array:
    """`column[row]`, without a copy when every row is selected."""
    return column if len(row) == len(column) else column[row]
