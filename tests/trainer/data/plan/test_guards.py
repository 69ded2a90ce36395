"""The share of negatives that the guards of the loss remove, computed from the plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import PolicyError
from trainer.config import TrainConfig
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.stream import ClipStream
from trainer.runs.learning.loss import ClipOrigins, Pairs
from trainer.settings import LossConfig
from trainer.train import train

MakeDataset = Callable[..., Dataset]
POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
CONFIG = StreamConfig(frame_size=32, num_processes=0, num_threads=1)


@pytest.fixture
def dataset(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    """Adjacent clips, two in each shot."""
    return make_toy_dataset(str(tmp_path / "data"), num_movies=4, clips_per_movie=12)


@pytest.mark.parametrize(
    ("seconds", "shots"), [(0.0, True), (1.0, False), (2.5, False), (2.5, True), (100.0, False)]
)
@pytest.mark.parametrize("group_by", ["movie_id", "group"])
def test_the_share_is_that_of_the_loss(
    make_toy_dataset: MakeDataset, tmp_path: Path, seconds: float, shots: bool, group_by: str
) -> None:
    dataset = make_toy_dataset(str(tmp_path), num_movies=6, clips_per_movie=12, movies_per_group=2)
    policy = dataclasses.replace(POLICY, group_by=group_by, reads_per_movie=2)
    loss = LossConfig(guard_seconds=seconds, guard_shots=shots)
    guarded = within = 0
    with ClipStream(dataset, policy, CONFIG, seed=0) as stream:
        share = stream.guarded_share(seconds, guard_shots=shots)
        for _ in range(stream.num_steps_per_epoch):
            pairs = Pairs.of(ClipOrigins.of(next(stream), torch.device("cpu")), loss)
            guarded += int(pairs.guarded.sum())
            within += int(pairs.within.sum())
    assert share == pytest.approx(guarded / within)


def test_without_guards_or_pairs_nothing_is_guarded(dataset: Dataset) -> None:
    with ClipStream(dataset, POLICY, CONFIG, seed=0) as stream:
        assert stream.guarded_share(0.0, guard_shots=False) == 0.0
    alone = dataclasses.replace(POLICY, clips_per_movie=1)
    with ClipStream(dataset, alone, CONFIG, seed=0) as stream:
        assert stream.guarded_share(100.0, guard_shots=True) == 0.0


def test_guards_that_remove_every_negative_are_rejected(dataset: Dataset) -> None:
    one_movie = dataclasses.replace(POLICY, movies_per_batch=1, schedule_keeps="movies")
    later = dataclasses.replace(one_movie, clips_per_movie=1, schedule="9:4")
    for policy in (one_movie, later):
        stream = ClipStream(dataset, policy, CONFIG, seed=0)
        with pytest.raises(PolicyError, match=r"guard_seconds = 100 .*remove every negative"):
            stream.guarded_share(100.0, guard_shots=False)
        with pytest.raises(RuntimeError, match="closed"):
            next(stream)


def test_training_says_that_guards_leave_no_within_movie_negative(
    dataset: Dataset,
    tiny_config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = dataclasses.replace(
        tiny_config, policy=POLICY, steps=2, loss=LossConfig(guard_seconds=1000.0)
    )
    train(dataset.storage.uri, tmp_path / "run", config)
    assert "remove every within-movie negative" in capsys.readouterr().out
