"""The batch plan: what it guarantees, tried on many shapes of datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shards_spec.errors import FormatError, PolicyError
from trainer.chunks import Timeline, cut, repair
from trainer.plan import BatchPlan, ClipIndex, plan_epoch, rank_slice
from trainer.policy import BatchPolicy

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
    """Movies of so many clips, in shards of so many, in random order; `even` is 0, 1, 0, 1, ..."""
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
    """All guarantees of a plan, told from the table's rows."""
    m, k = policy.movies_per_batch, policy.clips_per_movie
    assert plan.clips.shape == (plan.num_steps, m, k)
    assert plan.num_steps >= 1
    used = plan.clips.ravel()
    assert len(np.unique(used)) == len(used), "no clip is used twice"
    assert np.isin(used, index.row).all(), "only eligible clips are used"
    assert len(used) + plan.unused.total == plan.num_eligible == index.num_eligible
    assert min(dataclasses.astuple(plan.unused)) >= 0
    places = index.places(plan.clips)
    group = index.group[places]
    assert (group == group[:, :, :1]).all(), "a movie's clips are neighbours"
    assert (np.diff(np.sort(group[:, :, 0], axis=1), axis=1) > 0).all(), "movies are distinct"
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
def test_every_plan_is_sound(case: tuple[pa.Table, BatchPolicy], seed: int, epoch: int) -> None:
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
def test_as_few_clips_are_left_as_movies_allow(
    movies: list[int], m: int, k: int, epoch: int
) -> None:
    """One shard a movie, no gaps: the number of steps is the largest that any plan can have."""
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


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 12])
def test_ranks_share_the_same_global_batches(world_size: int) -> None:
    policy = BatchPolicy(movies_per_batch=12, clips_per_movie=3)
    plan = plan_epoch(index_of(clips_table([20] * 15), policy), policy, 0, 0)
    for step in range(plan.num_steps):
        parts = [rank_slice(plan, step, rank, world_size) for rank in range(world_size)]
        assert {part.shape for part in parts} == {(12 // world_size, 3)}
        assert (np.concatenate(parts) == plan.clips[step]).all()


def test_rank_slice_rejects_ranks_that_do_not_share_equally() -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=2)
    plan = plan_epoch(index_of(clips_table([20] * 5), policy), policy, 0, 0)
    with pytest.raises(PolicyError, match="multiple of their number"):
        rank_slice(plan, 0, 0, 3)


def test_a_chunk_is_a_byte_range_save_the_one_round_the_end_of_its_shard() -> None:
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=8)
    index = index_of(clips_table([100, 64, 64], per_shard=40), policy)
    for epoch in range(10):
        chunks, shard = cut(index, 8, 0, epoch)
        steps = np.diff(index.offset[chunks], axis=1)
        assert (index.shard[chunks] == index.shard[chunks[:, :1]]).all()
        broken = (steps != CLIP_BYTES).any(axis=1)
        assert (np.bincount(shard[broken], minlength=6) <= 1).all()
        assert ((steps == CLIP_BYTES).sum(axis=1) >= 6).all()


def test_cuts_move_so_that_every_clip_is_used_and_meets_others() -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=8)
    index = index_of(clips_table([44]), policy)
    meets: dict[int, set[int]] = {clip: set() for clip in range(44)}
    for epoch in range(60):
        for batch in plan_epoch(index, policy, 0, epoch).clips[:, 0].tolist():
            for clip in batch:
                meets[clip] |= set(batch)
    assert {len(others) for others in meets.values()} == {15}, "7 before, itself, 7 after"


def test_epochs_differ_in_what_meets_and_seeds_too() -> None:
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
    index = index_of(clips_table([32] * 4), policy)

    def batches(seed: int, epoch: int) -> set[frozenset[int]]:
        return {
            frozenset(batch)
            for batch in plan_epoch(index, policy, seed, epoch).clips.reshape(-1, 8).tolist()
        }

    assert not batches(0, 0) & batches(0, 1)
    assert not batches(0, 0) & batches(1, 0)


def test_reads_come_from_different_places_of_the_movie() -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=8, reads_per_movie=4)
    index = index_of(clips_table([800]), policy)
    plan = plan_epoch(index, policy, 0, 0)
    assert plan.unused.total == 0
    offset = np.sort(index.offset[index.places(plan.clips[:, 0])], axis=1)
    num_reads = 1 + (np.diff(offset, axis=1) > CLIP_BYTES).sum(axis=1)
    assert num_reads.mean() > 3.8


def test_a_gap_that_random_chunks_break_is_repaired_by_dealing() -> None:
    # 8 clips 20 s apart of 300 s: hardly any random chunk of 8 has that.
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=8, min_gap_seconds=20.0)
    index = index_of(clips_table([304] * 4), policy)
    timeline = Timeline.of(index, policy.min_gap_ns)
    chunks, shard = cut(index, 8, 0, 0)
    assert timeline.clash(chunks).mean() > 0.8
    repaired, bad = repair(chunks, shard, timeline)
    assert sorted(repaired.ravel().tolist()) == sorted(chunks.ravel().tolist())
    assert bad.mean() < 0.05
    assert_sound(plan_epoch(index, policy, 0, 0), index, policy)


def test_clash_tells_overlap_and_gap() -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=2)
    table = pa.table(
        {
            **{name: ["a", "a", "a", "b"] for name in ("clip_id", "movie_id", "group", "shard")},
            "tar_offset": [0, 1, 2, 0],
            "tar_bytes": [1, 1, 1, 1],
            "start_ns": [0, 5, 10, 0],
            "end_ns": [5, 11, 15, 5],
        }
    )
    index = index_of(table, policy)
    pairs = np.array([[0, 1], [1, 0], [1, 2], [0, 2], [0, 3]])
    assert Timeline.of(index, 0).clash(pairs).tolist() == [False, False, True, False, False]
    assert Timeline.of(index, 10).clash(pairs).tolist() == [True, True, True, False, False]
    assert Timeline.of(index, 11).clash(pairs).tolist() == [True, True, True, True, False]


def test_a_filter_with_holes_keeps_neighbours_together() -> None:
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=4, where="even == 0")
    index = index_of(clips_table([40] * 3), policy)
    plan = plan_epoch(index, policy, 0, 0)
    assert index.num_eligible == 60
    assert plan.unused.total == 4
    assert_sound(plan, index, policy)


def test_held_out_movies_are_the_complement_of_training() -> None:
    table = clips_table([16] * 30)
    train, out = (
        index_of(table, BatchPolicy(heldout_fraction=0.2, split=split))
        for split in ("train", "heldout")
    )
    assert sorted([*train.row.tolist(), *out.row.tolist()]) == list(range(480))
    filtered = index_of(
        table, BatchPolicy(heldout_fraction=0.2, split="heldout", where="even == 0")
    )
    assert set(filtered.row.tolist()) <= set(out.row.tolist())


def test_too_few_movies_says_how_many_and_what_to_change() -> None:
    policy = BatchPolicy(movies_per_batch=3, clips_per_movie=8)
    index = index_of(clips_table([8, 20, 7, 5]), policy)
    with pytest.raises(PolicyError, match=r"wants 3 movies with 8 clips each, and 2 of the 4"):
        plan_epoch(index, policy, 0, 0)
    with pytest.raises(PolicyError, match="lower movies_per_batch to at most 2"):
        plan_epoch(index, policy, 0, 0)


def test_a_filter_that_keeps_nothing_is_refused() -> None:
    policy = BatchPolicy(where="start_ns < 0")
    with pytest.raises(PolicyError, match="none of the 16 clips of 2 movies is eligible"):
        index_of(clips_table([8, 8]), policy)


def test_an_unsorted_index_is_refused() -> None:
    table = clips_table([4, 4]).take([4, 0, 5, 1])
    with pytest.raises(FormatError, match="not sorted"):
        index_of(pa.concat_tables([table, table]), BatchPolicy())


def test_a_plan_needs_the_index_of_its_policy() -> None:
    index = index_of(clips_table([16] * 8), BatchPolicy())
    with pytest.raises(ValueError, match="made with where"):
        plan_epoch(index, BatchPolicy(where="even == 0"), 0, 0)


def test_a_million_clips_plan_in_seconds() -> None:
    """Guards the order of growth, not the figure (see benchmarks)."""
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


def units_by_movie(exponent: float, epoch: int = 0) -> list[int]:
    """Units that movies of 4, 8, 16, 16, 64 and 128 clips get, two clips a unit."""
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=2, weighting_exponent=exponent)
    index = index_of(clips_table([4, 8, 16, 16, 64, 128]), policy)
    plan = plan_epoch(index, policy, 0, epoch)
    assert_sound(plan, index, policy)
    return np.bincount(index.movie[index.places(plan.clips[:, :, 0])].ravel()).tolist()


def test_weighting_shortens_movies_above_the_median() -> None:
    assert units_by_movie(1.0) == [2, 4, 8, 8, 32, 64]
    assert units_by_movie(0.0) == [2, 4, 8, 8, 8, 8]
    assert units_by_movie(0.5) == [2, 4, 8, 8, 16, 23]


def test_weighting_uses_other_clips_of_a_long_movie_in_each_epoch() -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=2, weighting_exponent=0.0)
    index = index_of(clips_table([4, 8, 16, 16, 64, 128]), policy)
    used = [plan_epoch(index, policy, 0, epoch).clips.ravel() for epoch in range(60)]
    assert len(set(used[0].tolist()) ^ set(used[1].tolist())) > 20
    assert len(np.unique(np.concatenate(used))) == index.num_eligible
