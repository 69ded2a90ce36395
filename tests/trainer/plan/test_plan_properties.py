"""Guarantees of every batch plan, on many shapes of datasets and on a large one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shards_spec.errors import PolicyError
from tests.support.datasets.clip_tables import SECOND, assert_sound, clips_table, index_of
from trainer.plan.epoch_plan import plan_epoch
from trainer.plan.policy import BatchPolicy


@st.composite
def cases(draw: st.DrawFn) -> tuple[pa.Table, BatchPolicy]:
    """Datasets with extreme skew, several shards, overlap and filters, and policies for them."""
    sizes = st.one_of(st.integers(1, 12), st.integers(20, 90), st.integers(20, 90))
    movies = draw(st.lists(sizes, min_size=5, max_size=10))
    chunk, reads = draw(st.sampled_from([1, 2, 3, 5])), draw(st.integers(1, 3))
    table = clips_table(
        movies,
        per_shard=draw(st.sampled_from([10, 25, 1000])),
        stride_ns=SECOND,
        length_ns=draw(st.sampled_from([SECOND, SECOND // 2, 2 * SECOND])),
        per_group=draw(st.sampled_from([1, 1, 2, 3])),
        seed=draw(st.integers(0, 3)),
    )
    policy = BatchPolicy(
        movies_per_batch=draw(st.integers(1, 4)),
        clips_per_movie=chunk * reads,
        reads_per_movie=reads,
        min_gap_seconds=draw(st.sampled_from([0.0, 0.0, 2.0, 3.5])),
        weighting_exponent=draw(st.sampled_from([1.0, 1.0, 0.5, 0.0])),
        where=draw(st.sampled_from(["", "", "even == 0", "start_ns > 5000000000"])),
        group_by=draw(st.sampled_from(["movie_id", "group"])),
        heldout_fraction=draw(st.sampled_from([0.0, 0.3])),
        split=draw(st.sampled_from(["all", "train"])),
    )
    return table, policy


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases(), seed=st.integers(0, 5), epoch=st.integers(0, 40))
def test_every_plan_keeps_its_guarantees(
    case: tuple[pa.Table, BatchPolicy], seed: int, epoch: int
) -> None:
    table, policy = case
    try:
        index = index_of(table, policy)
        plan = plan_epoch(index, policy, seed, epoch)
    except PolicyError:
        assume(False)
        return
    assert_sound(plan, index, policy)
    again = plan_epoch(index_of(table, policy), policy, seed, epoch)
    assert (again.clips == plan.clips).all(), "equal arguments give equal plans"


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    movies=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    m=st.integers(1, 6),
    k=st.integers(1, 6),
    epoch=st.integers(0, 9),
)
def test_as_few_clips_as_possible_are_left_over(
    movies: list[int], m: int, k: int, epoch: int
) -> None:
    """One shard per movie, no gaps: the number of steps is the largest that any plan can have."""
    policy = BatchPolicy(movies_per_batch=m, clips_per_movie=k)
    chunks = np.array(movies) // k
    best = max(
        (s for s in range(sum(movies) + 1) if np.minimum(chunks, s).sum() >= m * s), default=0
    )
    index = index_of(clips_table(movies), policy)
    if best == 0:
        with pytest.raises(PolicyError):
            plan_epoch(index, policy, 0, epoch)
        return
    plan = plan_epoch(index, policy, 0, epoch)
    assert plan.num_steps == best
    assert plan.unused.shard_ends == sum(size % k for size in movies)
    assert plan.unused.capped == k * int(np.maximum(chunks - best, 0).sum())
    assert plan.unused.last_step < m * k
    assert plan.unused.gap == plan.unused.odd_chunks == 0
    assert plan.capped_groups == tuple(f"m{i:04d}" for i in np.flatnonzero(chunks > best))


def test_a_million_clips_are_planned_in_seconds() -> None:
    """Checks how the time grows, not the exact figure (see benchmarks)."""
    movies, per_movie = 500, 2000
    number = np.arange(movies * per_movie)
    names = pa.array([f"m{n:03d}" for n in range(movies)]).take(pa.array(number // per_movie))
    table = pa.table(
        {
            **dict.fromkeys(("clip_id", "movie_id", "group", "shard"), names),
            "tar_offset": number % per_movie,
            "tar_bytes": np.ones_like(number),
            "start_ns": number * 7919 % per_movie,
            "end_ns": number * 7919 % per_movie + 1,
        }
    )
    policy = BatchPolicy(movies_per_batch=32, clips_per_movie=8)
    plan = plan_epoch(index_of(table, policy), policy, 0, 1)
    assert plan.num_steps == 1_000_000 // 256
    assert plan.unused.total == 1_000_000 % 256
