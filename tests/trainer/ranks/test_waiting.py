"""The host does not wait for the step that it has queued, yet all ranks stop together."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from shards_spec.dataset.reader import Dataset
from tests.support.launch.ranks import start_ranks
from trainer import train as train_module
from trainer.config import TrainConfig
from trainer.ranks.readback import Readback
from trainer.runs.checkpoints.checkpoint import checkpoint_files, load_checkpoint
from trainer.runs.config_file import config_from_json, config_to_json
from trainer.runs.journal.metric_log import read_metrics
from trainer.runs.learning.augment import AugmentConfig
from trainer.train import train

#: Operations whose result the host needs before it can continue.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "linalg_inv", "equal.")


class Waits(TorchDispatchMode):
    """Records operations that would wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.name().removeprefix("aten::")
        # A number that is written by index is copied to the device first.
        is_number = name.startswith("index_put") and args[2].dim() == 0
        if name.startswith(WAITS) or is_number:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def everything_on(config: TrainConfig) -> TrainConfig:
    """A few steps, with every augmentation, and fewer frames than are stored."""
    inputs = dataclasses.replace(config.model.inputs, num_frames=3)
    augment = AugmentConfig(crop_area=0.5, saturation=0.2, hue=0.1, grayscale=0.2, equalizer_db=3.0)
    return dataclasses.replace(
        config,
        steps=4,
        model=dataclasses.replace(config.model, inputs=inputs),
        augment=augment,
    )


def around_learning(
    monkeypatch: pytest.MonkeyPatch, context: Callable[[], Any], first_step: int
) -> None:
    """Run every step from `first_step` on within a context."""
    original = train_module.learn

    def learn(*arguments: Any) -> Any:
        if arguments[2] < first_step:
            return original(*arguments)
        with context():
            return original(*arguments)

    monkeypatch.setattr(train_module, "learn", learn)


def test_a_step_reads_nothing_back(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, original = Waits(), torch.tensor

    def tensor(*arguments: Any, **settings: Any) -> torch.Tensor:
        assert settings.get("device") is None, "that copy to a device would wait for it"
        return original(*arguments, **settings)

    @contextmanager
    def watched() -> Iterator[None]:
        with waits, monkeypatch.context() as patch:
            patch.setattr(torch, "tensor", tensor)
            yield

    around_learning(monkeypatch, watched, 0)
    train(toy_data.storage.uri, tmp_path, everything_on(tiny_config))
    assert waits.seen == []


@pytest.mark.gpu
def test_a_step_on_a_gpu_waits_for_nothing(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def watched() -> Iterator[None]:
        # Torch warns that its own check is a prototype; the step does not cause that warning.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*prototype feature")
            torch.cuda.set_sync_debug_mode("error")
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode("default")

    # The first steps also load kernels and allocate the optimizer's state.
    around_learning(monkeypatch, watched, 2)
    config = everything_on(tiny_config)
    stream = dataclasses.replace(config.stream, pin_memory=True)
    train(toy_data.storage.uri, tmp_path, dataclasses.replace(config, stream=stream))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_readback_returns_the_value_at_its_request(device: str) -> None:
    number = torch.full((), 2.5, device=device)
    kept = Readback(number * 2)
    number.add_(1)
    assert kept.item() == kept.item() == 5.0
    assert Readback(torch.isfinite(number)).item()


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_at_the_same_step(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, log_every=100, checkpoint_every=100)
    words = [__file__, toy_data.storage.uri, str(tmp_path), json.dumps(config_to_json(config))]
    assert [rank.wait(timeout=500) for rank in start_ranks(words, 2)] == [0, 0]
    assert read_metrics(tmp_path) == []
    # Signaled during the third step, agreed on during the fourth.
    assert load_checkpoint(checkpoint_files(tmp_path)[-1]).step == 4


def one_rank(uri: str, run: str, config: str) -> None:
    """A process of the test above."""
    torch.set_num_threads(1)
    original = train_module.learn

    def learn(*arguments: Any) -> Any:
        if os.environ["RANK"] == "1" and arguments[2] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    train_module.learn = learn
    train(uri, Path(run), config_from_json(TrainConfig, json.loads(config), ""))


if __name__ == "__main__":
    one_rank(*sys.argv[1:])
