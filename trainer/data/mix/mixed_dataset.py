"""Joins opened datasets into one whose rows, movies and shards are those of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from shards_spec.schema.tables import MOVIES_SCHEMA
from trainer.data.mix.mixed_storage import MixedStorage
from trainer.data.mix.names import QUALIFIED, qualified, renamed

#: Settings that determine what the arrays of a clip contain; all datasets of a run share them.
SHARED_SETTINGS = (
    "num_frames",
    "fps",
    "short_side",
    "sample_rate_hz",
    "n_mels",
    "window_ms",
    "hop_ms",
    "mel_low_hz",
    "mel_high_hz",
)


@dataclass(frozen=True)
class Part:
    """A dataset among several."""

    number: int
    """From 1, in the order in which they were given."""
    uri: str
    fingerprint: str
    first_row: int
    """Of its clips in the table of all."""
    num_clips: int
    clips_fingerprint: str = ""
    """`Dataset.clips_fingerprint`."""

    @property
    def rows(self) -> range:
        """Its rows in the table of all clips."""
        return range(self.first_row, self.first_row + self.num_clips)


@dataclass(frozen=True, repr=False)
class MixedDataset(Dataset):
    """Several datasets. In its tables, movies and groups have qualified names (`2:tt0110912`) and
    shards their full URI; clips keep their ids, which need not be distinct."""

    parts: tuple[Part, ...] = ()


def mix(datasets: Sequence[Dataset]) -> Dataset:
    """One dataset with the clips of all; a single one is returned as it is.

    Raises `InputError` if one is given twice or their recipes make different kinds of clips.
    """
    if not datasets:
        raise InputError("no dataset is given")
    if len(datasets) == 1:
        return datasets[0]
    _check_different([dataset.storage.uri for dataset in datasets])
    first = datasets[0]
    for other in datasets[1:]:
        _check_recipes(first, other)
    counts = [dataset.clips.num_rows for dataset in datasets]
    parts = tuple(
        Part(
            number=position + 1,
            uri=dataset.storage.uri,
            fingerprint=dataset.fingerprint,
            first_row=sum(counts[:position]),
            num_clips=counts[position],
            clips_fingerprint=dataset.clips_fingerprint,
        )
        for position, dataset in enumerate(datasets)
    )
    return MixedDataset(
        storage=MixedStorage([dataset.storage for dataset in datasets]),
        recipe=first.recipe,
        info=first.info,
        movies=_movies(datasets),
        clips=_clips(datasets),
        fingerprint=joined_fingerprint(parts),
        duplicates=_duplicates(datasets),
        parts=parts,
    )


def joined_fingerprint(parts: Sequence[Part]) -> str:
    """The fingerprint of several datasets together."""
    joined = "+".join(part.fingerprint for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


def parts_of(dataset: Dataset) -> tuple[Part, ...]:
    """The datasets that a dataset consists of: at least one."""
    if isinstance(dataset, MixedDataset):
        return dataset.parts
    return (Part(1, dataset.storage.uri, dataset.fingerprint, 0, dataset.clips.num_rows),)


def part_fingerprints(dataset: Dataset) -> list[dict[str, str | int]]:
    """What a run's folder says about each of several datasets; empty for a single one."""
    parts = parts_of(dataset)
    if len(parts) == 1:
        return []
    return [
        {"uri": part.uri, "fingerprint": part.fingerprint, "num_clips": part.num_clips}
        for part in parts
    ]


def _check_different(uris: Sequence[str]) -> None:
    for position, uri in enumerate(uris):
        if uri in uris[:position]:
            raise InputError(
                f"dataset {position + 1} ({uri}) is also dataset {uris.index(uri) + 1}; name each "
                "dataset once, and give it a larger weight with --data-weights"
            )


def _check_recipes(first: Dataset, other: Dataset) -> None:
    differing = _differing(first.recipe, other.recipe)
    if differing:
        raise InputError(
            f"the clips of {other.storage.uri} differ from those of {first.storage.uri}: "
            f"{'; '.join(differing)}; preprocess one of them again with the other's settings, or "
            "train on one of them"
        )


def _differing(first: Recipe, other: Recipe) -> list[str]:
    return [
        f"{name} is {getattr(other, name)} instead of {getattr(first, name)}"
        for name in SHARED_SETTINGS
        if getattr(first, name) != getattr(other, name)
    ]


def _movies(datasets: Sequence[Dataset]) -> pa.Table:
    # Older datasets lack columns.
    columns = [
        name
        for name in MOVIES_SCHEMA.names
        if all(name in dataset.movies.column_names for dataset in datasets)
    ]
    tables = [
        renamed(dataset.movies.select(columns), "movie_id", partial(qualified, number))
        for number, dataset in enumerate(datasets, start=1)
    ]
    return _joined(tables)


def _clips(datasets: Sequence[Dataset]) -> pa.Table:
    columns = [
        name
        for name in datasets[0].clips.column_names
        if all(name in dataset.clips.column_names for dataset in datasets)
    ]
    tables = []
    for number, dataset in enumerate(datasets, start=1):
        table = dataset.clips.select(columns)
        for column in QUALIFIED:
            table = renamed(table, column, partial(qualified, number))
        tables.append(renamed(table, "shard", dataset.storage.uri_of))
    return _joined(tables)


def _duplicates(datasets: Sequence[Dataset]) -> pa.Table | None:
    """The near-duplicates within each dataset; None if none was searched."""
    tables, last = [], 0
    for number, dataset in enumerate(datasets, start=1):
        if dataset.duplicates is None:
            continue
        table = dataset.duplicates
        for column in ("movie_id", "other_movie_id"):
            names = [name and qualified(number, name) for name in table[column].to_pylist()]
            at = table.schema.get_field_index(column)
            table = table.set_column(at, table.schema.field(column), pa.array(names, pa.string()))
        # Sets are numbered per dataset; 0 are blank spans.
        numbers = np.asarray(table["set_number"].to_numpy(), dtype=np.int32)
        shifted = np.where(numbers > 0, numbers + last, 0).astype(np.int32)
        last = max(last, int(shifted.max(initial=0)))
        at, field = table.schema.get_field_index("set_number"), table.schema.field("set_number")
        tables.append(table.set_column(at, field, pa.array(shifted)))
    return pa.concat_tables(tables) if tables else None


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    bare = [table.replace_schema_metadata(None) for table in tables]
    try:
        return pa.concat_tables(bare, promote_options="permissive").unify_dictionaries()
    except pa.ArrowException as error:
        raise InputError(f"the columns of the datasets have different types: {error}") from error
