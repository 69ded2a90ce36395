"""Batches of m shows x e episodes x k clips: settings, report, stream, resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from trainer.config import TrainConfig
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy, ClipIndex
from trainer.data.stream import ClipStream
from trainer.plan_report import describe, render
from trainer.runs.checkpoints.checkpoint import newest_checkpoint
from trainer.settings import LossConfig
from trainer.train import train

POLICY = BatchPolicy(movies_per_batch=2, episodes_per_group=2, clips_per_movie=3, group_by="group")


@pytest.fixture(scope="module")
def shows(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """Four shows of three episodes of 12 clips."""
    folder = tmp_path_factory.mktemp("shows")
    return make_toy_dataset(
        str(folder / "data"), num_movies=12, clips_per_movie=12, movies_per_group=3
    )


def test_figures_count_all_clips_of_a_show() -> None:
    assert POLICY.batch_size == 12
    assert POLICY.rho == pytest.approx(5 / 11)
    assert POLICY.chunk_clips == 3
    assert BatchPolicy(group_by="group").clips_per_group == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"episodes_per_group": -1, "group_by": "group"}, "episodes_per_group = -1"),
        ({"episodes_per_group": 2}, "needs group_by = group"),
        (
            {"episodes_per_group": 3, "group_by": "group", "schedule": "10:9"},
            "not a multiple of k = 9 x 3 episodes",
        ),
    ],
)
def test_impossible_settings_are_rejected(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BatchPolicy(**settings)  # type: ignore[arg-type]


def test_a_schedule_keeps_episodes() -> None:
    policy = dataclasses.replace(POLICY, schedule="5:1 9:6")
    phases = policy.phases()
    assert [(p.movies_per_batch, p.clips_per_movie) for p in phases.values()] == [
        *((2, 3), (6, 1), (1, 6))
    ]
    assert {phase.batch_size for phase in phases.values()} == {12}


def test_shows_with_too_few_episodes_are_named_in_the_message(shows: Dataset) -> None:
    policy = dataclasses.replace(POLICY, episodes_per_group=4)
    index = ClipIndex.from_dataset(shows, policy)
    with pytest.raises(PolicyError, match=r"2 groups with 4 movies each .* only 0 of 4 groups"):
        describe(index, 0, 0)


def test_the_report_shows_all_levels(shows: Dataset) -> None:
    report = describe(ClipIndex.from_dataset(shows, POLICY), 0, 0)
    assert report.to_json()["episodes_per_group"] == 2
    assert report.num_used + sum(report.unused.values()) == report.num_eligible == 144
    column = [str(cell) for cell in render(report).columns[1].cells]
    assert any("2 groups x 2 movies x 3 clips = 12 clips" in cell for cell in column)


@pytest.mark.parametrize("world_size", [1, 2])
def test_the_stream_has_shows_episodes_and_clips(shows: Dataset, world_size: int) -> None:
    config = StreamConfig(frame_size=32, num_processes=0, num_threads=2)
    with ClipStream(shows, POLICY, config, seed=1, world_size=world_size) as stream:
        for _ in range(3):
            batch = next(stream)
            num_groups = 2 // world_size
            group = batch.group.view(num_groups, 6)
            assert bool((group == group[:, :1]).all())
            assert len(group[:, 0].unique()) == num_groups
            movie = batch.movie.view(num_groups, 2, 3)
            assert bool((movie == movie[:, :, :1]).all())
            assert bool((movie[:, 0] != movie[:, 1]).all())
            assert len(batch.clip.unique()) == len(batch.clip)


@pytest.mark.slow
def test_a_run_with_episodes_resumes_exactly(
    shows: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(
        tiny_config, policy=POLICY, loss=LossConfig(within_mass=0.5), steps=4
    )
    uri = shows.storage.uri
    train(uri, tmp_path / "straight", config)
    train(uri, tmp_path / "resumed", dataclasses.replace(config, stop_at_step=2))
    train(uri, tmp_path / "resumed", config)
    straight, resumed = (newest_checkpoint(tmp_path / run) for run in ("straight", "resumed"))
    assert straight is not None
    assert resumed is not None
    assert all(torch.equal(v, resumed.model[name]) for name, v in straight.model.items())
