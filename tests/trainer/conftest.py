"""Fixtures of the trainer's tests."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shards_spec.dataset.reader import Dataset
from trainer.config import OptimizerConfig, TrainConfig
from trainer.data.fetch.fetcher import Fetcher
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.settings import AugmentConfig
from trainer.settings.model import InputConfig, ModelConfig


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """The same summation order in all tests, and no spinning threads on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def legible(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Plots that are saved must be legible; the names of their panels."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from tests.support.legible import require_legible

    saved: list[str] = []
    save = Figure.savefig

    def checked(figure: Figure, *arguments: Any, **options: Any) -> None:
        require_legible(figure)
        saved.extend(axes.get_title() or axes.get_xlabel() for axes in figure.axes)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", checked)
    yield saved
    assert saved


def _name(thread: threading.Thread) -> str:
    return thread.name


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """A test must end the threads of every stream that it opened."""
    yield
    # A stream does not wait for the requests that it abandoned; they end soon after.
    until = time.monotonic() + 5.0
    while "reelshards-request" in map(_name, threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.01)
    left = [name for name in map(_name, threading.enumerate()) if "reelshards" in name]
    assert not left, "every test ends its threads"


@pytest.fixture
def make_fetcher() -> Iterator[Callable[..., Fetcher]]:
    """Makes fetchers that end with the test."""
    made = []

    def make(*arguments: Any, **settings: Any) -> Fetcher:
        made.append(Fetcher(*arguments, **settings))
        return made[-1]

    yield make
    for fetcher in made:
        fetcher.close()


@pytest.fixture(scope="session")
def tiny_config() -> TrainConfig:
    """A run of 12 steps on the toy movies; takes seconds on one core."""
    return TrainConfig(
        steps=12,
        log_every=2,
        checkpoint_every=4,
        policy=BatchPolicy(
            movies_per_batch=4,
            clips_per_movie=4,
            reads_per_movie=2,
            heldout_fraction=0.2,
            split="train",
        ),
        stream=StreamConfig(frame_size=32, num_processes=0, num_threads=2),
        model=ModelConfig(embedding_size=16, head_hidden=32, inputs=InputConfig(frame_size=32)),
        augment=AugmentConfig(flip=False),
        optimizer=OptimizerConfig(warmup_steps=2),
        tensorboard=False,
    )


@pytest.fixture(scope="session")
def toy_data(
    make_toy_dataset: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Dataset:
    """Ten toy movies of 16 clips."""
    folder = tmp_path_factory.mktemp("toy")
    return make_toy_dataset(str(folder / "data"), num_movies=10, clips_per_movie=16)


@pytest.fixture(scope="session")
def trained_run(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run on `toy_data` that has learned something; read only."""
    from trainer.train import train

    run = tmp_path_factory.mktemp("run")
    train(toy_data.storage.uri, run, dataclasses.replace(tiny_config, steps=80, log_every=20))
    return run
