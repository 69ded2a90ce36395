"""Error messages for policies that a dataset cannot serve, and the costs that a plan reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from trainer.data.fetch import ranges
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.open_dataset import open_for_training
from trainer.data.stream.stream import ClipStream
from trainer.plan_report import describe, plan_command

POLICY = BatchPolicy(movies_per_batch=4, clips_per_movie=4)


@pytest.fixture(scope="module")
def dataset(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    return make_toy_dataset(
        str(tmp_path_factory.mktemp("advice")), num_movies=6, clips_per_movie=17
    )


def refused(dataset: Dataset, **changes: object) -> str:
    """The message with which `plan_epoch` refuses a policy."""
    policy = dataclasses.replace(POLICY, **changes)  # type: ignore[arg-type]
    with pytest.raises(PolicyError) as caught:
        plan_epoch(ClipIndex.from_dataset(dataset, policy), policy, 0, 0)
    return str(caught.value)


def test_an_unknown_column_is_reported_with_all_columns_and_the_nearest(dataset: Dataset) -> None:
    policy = dataclasses.replace(POLICY, where="start_ns >= 0 and motoin > 1")
    with pytest.raises(InputError) as caught:
        open_for_training(dataset.storage, policy)
    message = str(caught.value)
    assert "at character 19" in message
    assert "did you mean motion?" in message
    # A filter may use columns that training does not read, too.
    assert all(name in message for name in ("audio_rms_dbfs", "num_cuts", "luma_mean"))


def test_more_clips_per_movie_than_any_movie_has_are_rejected_immediately(dataset: Dataset) -> None:
    # As an array, a single such chunk would not fit into memory.
    message = refused(dataset, clips_per_movie=10**13)
    assert "only 0 of 6 movies" in message
    assert "more or longer movies" in message


def test_movies_that_fail_only_by_their_cuts_are_distinguished_from_short_ones(
    dataset: Dataset,
) -> None:
    # 17 clips make three chunks of 5, and a batch needs four; with 20 reads any 16 clips do.
    message = refused(dataset, clips_per_movie=20, reads_per_movie=4)
    assert "raise reads_per_movie" not in message
    small = dataclasses.replace(POLICY, clips_per_movie=16, reads_per_movie=2)
    table = dataset.clips.slice(0, 17 * 6)
    shards = [f"{name}-{row % 17 // 6}" for row, name in enumerate(table["movie_id"].to_pylist())]
    place = table.schema.get_field_index("shard")
    table = table.set_column(place, "shard", [shards])
    index = ClipIndex.from_table(table, small, "toy")
    with pytest.raises(PolicyError, match=r"raise reads_per_movie = 2, .* chunks of 8 clips"):
        plan_epoch(index, small, 0, 0)
    assert plan_epoch(index, dataclasses.replace(small, reads_per_movie=16), 0, 0).num_steps == 1


def test_advice_names_only_settings_that_were_changed(dataset: Dataset) -> None:
    out = refused(dataset, split="train", heldout_fraction=0.9999999)
    assert "heldout_fraction = 1" in out
    assert "where" not in out
    out = refused(dataset, where="motion > 1e9")
    assert "loosen where = 'motion > 1e9'" in out
    assert "split" not in out


@pytest.mark.parametrize("schedule", ["0:4 0:2", "3:4 3:2", "²:4"])
def test_schedules_with_repeated_or_invalid_steps_are_rejected(schedule: str) -> None:
    with pytest.raises(InputError, match="schedule"):
        dataclasses.replace(POLICY, schedule=schedule)


def test_the_impossible_phase_of_a_schedule_is_named(dataset: Dataset) -> None:
    policy = dataclasses.replace(POLICY, schedule="5:16 9:1")
    wide = dataclasses.replace(policy, schedule="5:1")
    with pytest.raises(PolicyError, match=r"from step 5 on: a batch needs 16 movies"):
        describe(ClipIndex.from_dataset(dataset, wide), 0, 0)
    config = StreamConfig(frame_size=16, num_processes=0, num_threads=1)
    with pytest.raises(PolicyError, match=r"from step 5 on: a batch needs 16 movies"):
        ClipStream(dataset, wide, config, seed=0)
    with pytest.raises(PolicyError, match=r"from step 5 on: movies_per_batch = 1 cannot be div"):
        ClipStream(dataset, policy, config, seed=0, world_size=2)


def test_the_report_lists_the_possible_numbers_of_ranks(dataset: Dataset) -> None:
    policy = dataclasses.replace(POLICY, movies_per_batch=6)
    index = ClipIndex.from_dataset(dataset, policy)
    assert describe(index, 0, 0).world_sizes == (1, 2, 3, 6)
    scheduled = dataclasses.replace(policy, clips_per_movie=2, schedule="4:3")
    assert describe(ClipIndex.from_dataset(dataset, scheduled), 0, 0).world_sizes == (1, 2)


@pytest.mark.parametrize(("max_gap", "max_read"), [(0, 10**9), (10**9, 10**9), (10**9, 12_000)])
def test_reads_of_the_report_are_those_of_the_stream(
    dataset: Dataset, max_gap: int, max_read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "MAX_READ_BYTES", max_read)
    policy = dataclasses.replace(POLICY, clips_per_movie=8, reads_per_movie=2)
    index = ClipIndex.from_dataset(dataset, policy)
    report = describe(index, 0, 0, max_gap_bytes=max_gap)
    plan = plan_epoch(index, policy, 0, 0)
    num_reads = num_bytes = 0
    for rows in plan.clips.reshape(-1, 8):
        clips = ClipLocation.take(dataset.clips, rows)
        reads = ranges.merge_ranges(clips, max_gap)
        num_reads += len(reads)
        num_bytes += sum(read.length for read in reads)
    assert report.reads_per_step * plan.num_steps == pytest.approx(num_reads)
    assert report.bytes_per_step * plan.num_steps == pytest.approx(num_bytes)


def test_more_than_one_epoch_needs_a_dump(dataset: Dataset) -> None:
    with pytest.raises(InputError, match=r"epochs = 3: .* --dump"):
        plan_command(dataset.storage.uri, POLICY, 0, 3, "", json=False)
