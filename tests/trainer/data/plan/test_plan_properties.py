"""Guarantees of every batch plan, on many shapes of datasets and on a large one."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shards_spec.errors import PolicyError
from tests.support.datasets.clip_tables import SECOND, assert_sound, clips_table, index_of
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.policy import BatchPolicy

#: Digest of a plan made before policies had episodes.
EARLIER_PLAN = "0bb3fd003d1483d31edc2de478d92f8c35acfd80f4216762c986802e4e46bb78"


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
    group_by = draw(st.sampled_from(["movie_id", "group"]))
    policy = BatchPolicy(
        movies_per_batch=draw(st.integers(1, 4)),
        episodes_per_group=draw(st.integers(0, 3)) if group_by == "group" else 0,
        clips_per_movie=chunk * reads,
        reads_per_movie=reads,
        min_gap_seconds=draw(st.sampled_from([0.0, 0.0, 2.0, 3.5])),
        weighting_exponent=draw(st.sampled_from([1.0, 1.0, 0.5, 0.0])),
        where=draw(st.sampled_from(["", "", "even == 0", "start_ns > 5000000000"])),
        group_by=group_by,
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


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    movies=st.lists(st.integers(1, 25), min_size=4, max_size=12),
    e=st.integers(1, 3),
    k=st.integers(1, 4),
)
def test_as_few_episodes_as_possible_are_left_over(movies: list[int], e: int, k: int) -> None:
    """Of each show, as many sets of e distinct episodes are made as can be."""
    policy = BatchPolicy(
        movies_per_batch=1, episodes_per_group=e, clips_per_movie=k, group_by="group"
    )
    units = np.array(movies) // k
    shows = [units[first : first + 4] for first in range(0, len(units), 4)]
    best = [
        max((s for s in range(200) if np.minimum(show, s).sum() >= e * s), default=0)
        for show in shows
    ]
    index = index_of(clips_table(movies, per_group=4), policy)
    if not any(best):
        with pytest.raises(PolicyError, match="episodes_per_group"):
            plan_epoch(index, policy, 0, 0)
        return
    plan = plan_epoch(index, policy, 0, 0)
    assert_sound(plan, index, policy)
    assert plan.num_steps == sum(best)
    assert plan.unused.episodes == k * int(units.sum() - e * sum(best))


def test_without_episodes_batches_are_as_they_were() -> None:
    """The level changes nothing where it is not used."""
    table = clips_table([30, 40, 50, 20], per_group=2)
    plain = BatchPolicy(movies_per_batch=2, clips_per_movie=4, reads_per_movie=2, group_by="group")
    plan = plan_epoch(index_of(table, plain), plain, 3, 1)
    digest = hashlib.sha256(plan.clips.astype("<i8").tobytes()).hexdigest()
    assert digest == EARLIER_PLAN


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
