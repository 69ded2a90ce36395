"""Individual properties of the batch plan, each on a dataset that shows it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shards_spec.errors import FormatError, PolicyError
from tests.support.datasets.clip_tables import CLIP_BYTES, assert_sound, clips_table, index_of
from trainer.data.plan.chunks import Timeline, cut, repair
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.policy import BatchPolicy


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 12])
def test_ranks_share_the_same_global_batches(world_size: int) -> None:
    policy = BatchPolicy(movies_per_batch=12, clips_per_movie=3)
    plan = plan_epoch(index_of(clips_table([20] * 15), policy), policy, 0, 0)
    for step in range(plan.num_steps):
        parts = [plan.for_rank(step, rank, world_size) for rank in range(world_size)]
        assert {part.shape for part in parts} == {(12 // world_size, 3)}
        assert (np.concatenate(parts) == plan.clips[step]).all()


def test_ranks_that_cannot_share_equally_are_rejected() -> None:
    policy = BatchPolicy(movies_per_batch=4, clips_per_movie=2)
    with pytest.raises(PolicyError, match="set it to a multiple of 3"):
        policy.movies_per_rank(3)


def test_a_chunk_is_a_byte_range_except_the_one_that_wraps_around() -> None:
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


def test_epochs_and_seeds_differ_in_which_clips_meet() -> None:
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
    index = index_of(clips_table([32] * 4), policy)

    def batches(seed: int, epoch: int) -> set[frozenset[int]]:
        return {
            frozenset(batch)
            for batch in plan_epoch(index, policy, seed, epoch).clips.reshape(-1, 8).tolist()
        }

    assert not batches(0, 0) & batches(0, 1)
    assert not batches(0, 0) & batches(1, 0)


def test_reads_come_from_different_parts_of_the_movie() -> None:
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=8, reads_per_movie=4)
    index = index_of(clips_table([800]), policy)
    plan = plan_epoch(index, policy, 0, 0)
    assert plan.unused.total == 0
    offset = np.sort(index.offset[index.positions(plan.clips[:, 0])], axis=1)
    num_reads = 1 + (np.diff(offset, axis=1) > CLIP_BYTES).sum(axis=1)
    assert num_reads.mean() > 3.8


def test_a_gap_that_random_chunks_break_is_repaired_by_dealing() -> None:
    # 8 clips of 300 s at least 20 s apart: hardly any random chunk satisfies that.
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=8, min_gap_seconds=20.0)
    index = index_of(clips_table([304] * 4), policy)
    timeline = Timeline.of(index, policy.min_gap_ns)
    chunks, shard = cut(index, 8, 0, 0)
    assert timeline.has_conflict(chunks).mean() > 0.8
    repaired, bad = repair(chunks, shard, timeline)
    assert sorted(repaired.ravel().tolist()) == sorted(chunks.ravel().tolist())
    assert bad.mean() < 0.05
    assert_sound(plan_epoch(index, policy, 0, 0), index, policy)


def test_conflicts_are_overlaps_and_small_gaps() -> None:
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
    assert Timeline.of(index, 0).has_conflict(pairs).tolist() == [False, False, True, False, False]
    assert Timeline.of(index, 10).has_conflict(pairs).tolist() == [True, True, True, False, False]
    assert Timeline.of(index, 11).has_conflict(pairs).tolist() == [True, True, True, True, False]


def test_a_filter_with_gaps_keeps_neighbors_together() -> None:
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


def test_too_few_movies_are_rejected_with_counts_and_advice() -> None:
    policy = BatchPolicy(movies_per_batch=3, clips_per_movie=8)
    index = index_of(clips_table([8, 20, 7, 5]), policy)
    with pytest.raises(PolicyError, match=r"needs 3 movies with 8 clips each, but only 2 of 4"):
        plan_epoch(index, policy, 0, 0)
    with pytest.raises(PolicyError, match="lower movies_per_batch to at most 2"):
        plan_epoch(index, policy, 0, 0)


def test_a_filter_that_keeps_nothing_is_rejected() -> None:
    policy = BatchPolicy(where="start_ns < 0")
    with pytest.raises(PolicyError, match="none of the 16 clips of 2 movies is eligible"):
        index_of(clips_table([8, 8]), policy)


def test_an_unsorted_index_is_rejected() -> None:
    table = clips_table([4, 4]).take([4, 0, 5, 1])
    with pytest.raises(FormatError, match="not sorted"):
        index_of(pa.concat_tables([table, table]), BatchPolicy())


def units_by_movie(exponent: float, epoch: int = 0) -> list[int]:
    """Units that movies of 4, 8, 16, 16, 64 and 128 clips get, with two clips per unit."""
    policy = BatchPolicy(movies_per_batch=1, clips_per_movie=2, weighting_exponent=exponent)
    index = index_of(clips_table([4, 8, 16, 16, 64, 128]), policy)
    plan = plan_epoch(index, policy, 0, epoch)
    assert_sound(plan, index, policy)
    return np.bincount(index.movie[index.positions(plan.clips[:, :, 0])].ravel()).tolist()


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
