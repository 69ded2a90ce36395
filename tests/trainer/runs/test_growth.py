"""Resuming with a dataset that has grown, only on request."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.epoch_plan import plan_epoch
from trainer.runs.checkpoints.checkpoint import newest_checkpoint
from trainer.runs.growth import growth_problems, movie_digests
from trainer.train import train

MakeDataset = Callable[..., Dataset]


@pytest.fixture
def stopped(
    make_toy_dataset: MakeDataset, tiny_config: TrainConfig, tmp_path: Path
) -> tuple[str, Path, TrainConfig]:
    """Dataset, run and settings of a run that stopped in epoch 0."""
    uri, run = str(tmp_path / "data"), tmp_path / "run"
    make_toy_dataset(uri, num_movies=10, clips_per_movie=16)
    config = dataclasses.replace(tiny_config, steps=8)
    train(uri, run, dataclasses.replace(config, stop_at_step=3))
    return uri, run, config


def test_a_grown_dataset_is_used_from_the_next_epoch(
    stopped: tuple[str, Path, TrainConfig], make_toy_dataset: MakeDataset
) -> None:
    uri, run, config = stopped
    make_toy_dataset(uri, num_movies=14, clips_per_movie=16)
    with pytest.raises(InputError, match=r"fingerprint: .* became .*--allow-appended-data"):
        train(uri, run, config)
    train(uri, run, dataclasses.replace(config, allow_appended_data=True, stop_at_step=5))
    checkpoint = newest_checkpoint(run)
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.plan["epoch"], checkpoint.plan["step"]) == (5, 1, 2)
    # From then on the grown dataset is the run's dataset.
    train(uri, run, config)
    checkpoint = newest_checkpoint(run)
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.plan["epoch"], checkpoint.plan["step"]) == (8, 1, 5)


def test_a_grown_epoch_has_old_and_new_clips(
    stopped: tuple[str, Path, TrainConfig], make_toy_dataset: MakeDataset
) -> None:
    uri, _, config = stopped
    old = set(open_dataset(uri).clips["movie_id"].to_pylist())
    make_toy_dataset(uri, num_movies=14, clips_per_movie=16)
    index = ClipIndex.from_dataset(open_dataset(uri), config.policy)
    used = {
        index.clip_ids[row].as_py()[:9] for row in plan_epoch(index, config.policy, 0, 1).clips.flat
    }
    assert used - old
    assert used & old


def test_datasets_with_other_changes_than_appended_movies_are_rejected(
    stopped: tuple[str, Path, TrainConfig], make_toy_dataset: MakeDataset, tmp_path: Path
) -> None:
    _, run, config = stopped
    accepting = dataclasses.replace(config, allow_appended_data=True)
    fewer = make_toy_dataset(str(tmp_path / "fewer"), num_movies=9, clips_per_movie=16)
    with pytest.raises(InputError, match="movies that are missing: movie-009;"):
        train(fewer.storage.uri, run, accepting)
    sizes = [16] * 12
    sizes[3] = 17
    longer = make_toy_dataset(str(tmp_path / "longer"), num_movies=12, clips_per_movie=sizes)
    with pytest.raises(InputError, match="movies whose clips have changed: movie-003;"):
        train(longer.storage.uri, run, accepting)
    other = make_toy_dataset(str(tmp_path / "other"), num_movies=12, clips_per_movie=16, n_mels=8)
    with pytest.raises(InputError, match="recipe: it has changed"):
        train(other.storage.uri, run, accepting)


def test_reprocessed_movies_are_rejected_though_none_is_missing(
    stopped: tuple[str, Path, TrainConfig], make_toy_dataset: MakeDataset, tmp_path: Path
) -> None:
    _, run, config = stopped
    # Another aspect ratio changes every clip's bytes, but not the recipe, ids or counts.
    again = make_toy_dataset(str(tmp_path / "again"), num_movies=12, clips_per_movie=16, width=64)
    accepting = dataclasses.replace(config, allow_appended_data=True)
    with pytest.raises(InputError, match=r"clips have changed: movie-000, .* and 5 more"):
        train(again.storage.uri, run, accepting)


def test_without_the_list_of_movies_no_dataset_counts_as_grown(
    stopped: tuple[str, Path, TrainConfig], make_toy_dataset: MakeDataset
) -> None:
    uri, run, config = stopped
    (run / "movies.json").unlink()
    make_toy_dataset(uri, num_movies=14, clips_per_movie=16)
    with pytest.raises(InputError, match=r"movies\.json is missing"):
        train(uri, run, dataclasses.replace(config, allow_appended_data=True))


def test_digests_depend_on_order_ids_sizes_and_checksums(
    make_toy_dataset: MakeDataset, tmp_path: Path
) -> None:
    clips = make_toy_dataset(str(tmp_path / "data"), num_movies=2, clips_per_movie=4).clips
    before = movie_digests(clips)
    assert sorted(before) == ["movie-000", "movie-001"]
    assert growth_problems(before, before) == []
    swapped = clips.take([1, 0, 2, 3, 4, 5, 6, 7])
    assert growth_problems(before, movie_digests(swapped)) == [
        "dataset movies whose clips have changed: movie-000"
    ]
    for name in ("clip_id", "tar_bytes", "crc32c"):
        values = clips[name].to_pylist()
        values[7] = "other" if name == "clip_id" else values[7] + 1
        column = pa.array(values, clips.schema.field(name).type)
        changed = clips.set_column(clips.schema.get_field_index(name), name, column)
        assert growth_problems(before, movie_digests(changed)) == [
            "dataset movies whose clips have changed: movie-001"
        ]
