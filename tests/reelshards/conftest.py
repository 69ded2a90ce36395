"""A small dataset and a run trained on it, through the public API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import reelshards as rs


@pytest.fixture(scope="session")
def toy_data(
    make_toy_dataset: Callable[..., rs.Dataset], tmp_path_factory: pytest.TempPathFactory
) -> rs.Dataset:
    """Six toy movies of 8 to 13 clips, and one that failed."""
    folder = tmp_path_factory.mktemp("toy")
    counts = [8, 9, 10, 11, 12, 13]
    make_toy_dataset(str(folder), num_movies=6, clips_per_movie=counts, num_failed=1)
    return rs.open_dataset(folder)


@pytest.fixture(scope="session")
def trained_run(toy_data: rs.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small model on `toy_data`, stopped early."""
    from trainer.settings.model import InputConfig, ModelConfig

    run = tmp_path_factory.mktemp("run")
    config = rs.TrainConfig(
        stop_at_step=6,
        policy=rs.BatchPolicy(
            movies_per_batch=2, clips_per_movie=4, heldout_fraction=0.2, split="train"
        ),
        stream=rs.StreamConfig(frame_size=32, num_processes=0, num_threads=2),
        model=ModelConfig(embedding_size=16, head_hidden=32, inputs=InputConfig(frame_size=32)),
        tensorboard=False,
    )
    outcome = rs.train(toy_data, run, config)
    assert outcome.steps_done == 6
    return run
