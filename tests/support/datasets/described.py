"""Gives a dataset the optional tables: labels, texts, near-duplicates, dropped clips."""

from __future__ import annotations

import dataclasses

from shards_spec.dataset.fingerprints.store import update_duplicates
from shards_spec.dataset.index import read_commit, write_commit, write_index
from shards_spec.dataset.labels.findings import Findings
from shards_spec.dataset.labels.ranges import ranges_table
from shards_spec.dataset.labels.schema import LabeledRange
from shards_spec.dataset.labels.tables import write_ranges
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.schema.dropped import DroppedClips


def describe(dataset: Dataset) -> Dataset:
    """Write all optional tables about the movie `movie-000`, and open the dataset again."""
    storage, recipe = dataset.storage, dataset.recipe
    ranges = [
        LabeledRange("movie-000", 0, 10**9, "sad", None),
        LabeledRange("movie-000", 5 * 10**8, 12 * 10**8, None, "a word, quoted"),
    ]
    write_ranges(storage, "mood", ranges_table(ranges, dataset.movies, Findings()))
    row, clips = read_commit(storage, "movie-000")
    start, end = (recipe.grid_ns(90 * recipe.stride_frames + n) for n in (0, recipe.num_frames))
    changed = dataclasses.replace(
        row,
        dropped_black=1,
        duration_ns=max(row.duration_ns, end),
        drops=DroppedClips((90,), (start,), (end,), ("black",)),
    )
    write_commit(storage, changed, clips)
    write_index(storage, recipe, "toy")
    update_duplicates(open_dataset(storage))
    return open_dataset(storage)
