"""Clip tables without shards, and the guarantees of every plan made from such a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import BatchPlan
from trainer.data.plan.policy import BatchPolicy

SECOND = 1_000_000_000
CLIP_BYTES = 1000


def clips_table(
    movies: Sequence[int],
    *,
    per_shard: int = 1000,
    stride_ns: int = SECOND,
    length_ns: int = SECOND,
    per_group: int = 1,
    seed: int = 0,
) -> pa.Table:
    """Movies with `movies[i]` clips, `per_shard` per shard, in random order; `even` is 0, 1, ..."""
    generator = np.random.default_rng(seed)
    rows = []
    for movie, num_clips in enumerate(movies):
        for place, number in enumerate(generator.permutation(num_clips).tolist()):
            shard, inside = divmod(place, per_shard)
            rows.append(
                {
                    "clip_id": f"m{movie:04d}_{number:06d}",
                    "movie_id": f"m{movie:04d}",
                    "group": f"g{movie // per_group:04d}",
                    "shard": f"m{movie:04d}-{shard:05d}",
                    "tar_offset": inside * CLIP_BYTES,
                    "tar_bytes": CLIP_BYTES,
                    "start_ns": number * stride_ns,
                    "end_ns": number * stride_ns + length_ns,
                    "even": number % 2,
                }
            )
    return pa.Table.from_pylist(rows)


def index_of(table: pa.Table, policy: BatchPolicy) -> ClipIndex:
    return ClipIndex.from_table(table, policy, "toy")


def assert_sound(plan: BatchPlan, index: ClipIndex, policy: BatchPolicy) -> None:
    """Check all guarantees of a plan against the table's rows."""
    m, k = policy.movies_per_batch, policy.clips_per_group
    assert plan.clips.shape == (plan.num_steps, m, k)
    assert plan.num_steps >= 1
    used = plan.clips.ravel()
    assert len(np.unique(used)) == len(used), "no clip is used twice"
    assert np.isin(used, index.row).all(), "only eligible clips are used"
    assert len(used) + plan.unused.total == plan.num_eligible == index.num_eligible
    assert min(dataclasses.astuple(plan.unused)) >= 0
    places = index.positions(plan.clips)
    group = index.group[places]
    assert (group == group[:, :, :1]).all(), "a movie's clips are neighbors"
    assert (np.diff(np.sort(group[:, :, 0], axis=1), axis=1) > 0).all(), "movies are distinct"
    if policy.episodes_per_group:
        movie = index.movie[places].reshape(-1, policy.num_episodes, policy.clips_per_movie)
        assert (movie == movie[:, :, :1]).all(), "an episode's clips are neighbors"
        assert (np.diff(np.sort(movie[:, :, 0], axis=1), axis=1) > 0).all(), "episodes are distinct"
    for batch in places.reshape(-1, k):
        for first in range(k):
            for second in range(first):
                assert_apart(index, int(batch[first]), int(batch[second]), policy.min_gap_ns)


def assert_apart(index: ClipIndex, first: int, second: int, min_gap_ns: int) -> None:
    if index.movie[first] != index.movie[second]:
        return
    start, end = index.start_ns, index.end_ns
    assert start[first] >= end[second] or start[second] >= end[first], "clips do not overlap"
    assert abs(start[first] - start[second]) >= min_gap_ns
