"""Substitutes for unreadable clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.schema.tables import clip_rows
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.policy import BatchPolicy
from trainer.data.plan.substitutes import substitute_rows


@pytest.fixture
def dataset(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> Dataset:
    """Four movies in shards of about 10 clips, 32 x 48 pixels."""
    sizes = (8, 21, 30, 12)
    return make_toy_dataset(str(tmp_path), num_movies=4, clips_per_movie=sizes, shard_bytes=40_000)


def test_substitutes_keep_the_guarantees_of_a_batch(dataset: Dataset) -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=2, min_gap_seconds=4.0)
    index = ClipIndex.from_dataset(dataset, policy)
    rows = clip_rows(dataset.clips)
    movie = [number for number, row in enumerate(rows) if row.movie_id == "movie-002"]
    others = np.array(movie[1:4])
    found = list(substitute_rows(index, movie[0], others, 0, 0))
    assert sorted([*found, *movie[:4]]) == movie
    least = [min(abs(rows[row].start_ns - rows[o].start_ns) for o in others) for row in found]
    near = [gap < policy.min_gap_ns for gap in least]
    assert near == sorted(near), "clips that keep the gap come first"
    assert not all(near)
    assert found == list(substitute_rows(index, movie[0], others, 0, 0))
