"""A dataset as a run had it, before further movies were appended."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.runs.exposure.stored_run import StoredRun
from trainer.runs.growth import growth_problems, movie_digests


def data_of_run(dataset: Dataset, stored: StoredRun) -> Dataset:
    """The movies that the run had at its last launch. Raises `InputError` unless all are there."""
    if dataset.fingerprint == stored.fingerprint:
        return dataset
    digests = movie_digests(dataset.clips)
    problems = growth_problems(stored.digests, digests)
    if problems or not stored.digests:
        raise InputError(
            f"the data of {stored.uri} has changed since its last launch: "
            f"{'; '.join(problems) or 'the run has no movies.json'}; its batches can only be "
            "computed with the index of that time: name a copy with --data (dataset.json and "
            "index/ are enough; `prune --receipt` keeps one)"
        )
    return with_movies(dataset, stored.digests.keys())


def with_movies(dataset: Dataset, names: Any) -> Dataset:
    """A dataset reduced to some of its movies; movies without clips stay."""
    chosen = pa.array(sorted(names), pa.string())

    def chosen_rows(table: pa.Table) -> pa.Table:
        return _with_own_names(table.filter(pc.is_in(table["movie_id"].cast(pa.string()), chosen)))

    with_clips = set(pc.unique(dataset.clips["movie_id"]).to_pylist())
    dropped = pa.array(sorted(with_clips - set(chosen.to_pylist())), pa.string())
    movies = dataset.movies
    movies = _with_own_names(
        movies.filter(pc.invert(pc.is_in(movies["movie_id"].cast(pa.string()), dropped)))
    )
    clips = chosen_rows(dataset.clips)
    if not hasattr(dataset, "parts"):
        return dataclasses.replace(dataset, movies=movies, clips=clips)
    # The rows of each dataset follow each other also in the reduced table.
    parts, first = [], 0
    for part in dataset.parts:
        count = chosen_rows(dataset.clips.slice(part.first_row, part.num_clips)).num_rows
        parts.append(dataclasses.replace(part, first_row=first, num_clips=count))
        first += count
    changed: Any = {"movies": movies, "clips": clips, "parts": tuple(parts)}
    return dataclasses.replace(dataset, **changed)


def _with_own_names(table: pa.Table) -> pa.Table:
    """The table with dictionaries of only the texts that it has."""
    for number, item in enumerate(table.schema):
        if pa.types.is_dictionary(item.type):
            texts = table[item.name].cast(pa.string()).combine_chunks()
            table = table.set_column(number, item.name, texts.dictionary_encode())
    return table
