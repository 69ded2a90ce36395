"""Going on with a dataset that has grown, on request only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec.errors import InputError
from shards_spec.reader import Dataset, open_dataset
from trainer.checkpoint import newest_checkpoint
from trainer.clip_index import ClipIndex
from trainer.config import TrainConfig
from trainer.plan import plan_epoch
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


def test_a_grown_dataset_is_taken_up_with_the_next_epoch(
    stopped: tuple[str, Path, TrainConfig], make_toy_dataset: MakeDataset
) -> None:
    uri, run, config = stopped
    make_toy_dataset(uri, num_movies=14, clips_per_movie=16)
    with pytest.raises(InputError, match=r"fingerprint: .* became .*--accept-grown"):
        train(uri, run, config)
    train(uri, run, dataclasses.replace(config, accept_grown=True, stop_at_step=5))
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


def test_what_has_not_grown_is_refused(
    stopped: tuple[str, Path, TrainConfig], make_toy_dataset: MakeDataset, tmp_path: Path
) -> None:
    _, run, config = stopped
    accepting = dataclasses.replace(config, accept_grown=True)
    fewer = make_toy_dataset(str(tmp_path / "fewer"), num_movies=10, clips_per_movie=12)
    with pytest.raises(InputError, match="160 became 120, which is fewer"):
        train(fewer.storage.uri, run, accepting)
    other = make_toy_dataset(str(tmp_path / "other"), num_movies=12, clips_per_movie=16, n_mels=8)
    with pytest.raises(InputError, match="recipe: it has changed"):
        train(other.storage.uri, run, accepting)
