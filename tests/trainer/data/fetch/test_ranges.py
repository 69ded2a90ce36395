"""Locations of clips, and the ranged reads that fetch them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.schema.tables import clip_rows
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.fetch.ranges import merge_ranges


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    sizes = (8, 21, 30, 12)
    return make_toy_dataset(str(tmp_path), num_movies=4, clips_per_movie=sizes, shard_bytes=40_000)


def test_ranges_are_merged_across_small_gaps(dataset: Dataset) -> None:
    rows = clip_rows(dataset.clips)
    same = [row for row in rows if row.shard == rows[-1].shard]
    gap = same[1].tar_bytes
    picked = [same[2], same[0], rows[0]]
    merged = merge_ranges(picked, gap)
    assert [read.numbers for read in merged] == [(2,), (1, 0)]
    assert merged[1].start == same[0].tar_offset
    assert merged[1].length == sum(row.tar_bytes for row in same[:3])
    split = merge_ranges(picked, gap - 1)
    assert [read.numbers for read in split] == [(2,), (1,), (0,)]


def test_locations_are_taken_in_any_order(dataset: Dataset) -> None:
    wanted = np.array([5, 4, 5, 0, 70, 6])
    rows = clip_rows(dataset.clips)
    for location, row in zip(
        ClipLocation.take(dataset.clips, wanted), wanted.tolist(), strict=True
    ):
        assert all(
            getattr(location, name) == getattr(rows[row], name) for name in ClipLocation._fields
        )
