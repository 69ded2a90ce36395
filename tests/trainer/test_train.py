"""Training: learns, resumes bit for bit, stops on request, rejects what does not match."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError, PolicyError
from tests.support.launch.ranks import start_ranks
from trainer import train as train_module
from trainer.config import OptimizerConfig, TrainConfig
from trainer.runs.checkpoints.checkpoint import checkpoint_files, load_checkpoint, newest_checkpoint
from trainer.runs.config_file import config_to_json, saved_config
from trainer.runs.journal.journal import NonFiniteStepError
from trainer.runs.journal.metric_log import TIMED_AREAS, read_metrics
from trainer.runs.learning.loss.criterion import Criterion
from trainer.runs.learning.optimizer import build_optimizer, learning_rate
from trainer.train import train


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = newest_checkpoint(run)
    assert checkpoint is not None
    return checkpoint.model


def untimed(run: Path) -> list[dict[str, Any]]:
    """The run's metrics lines without values that depend on the machine's speed."""
    return [
        {name: value for name, value in line.items() if not name.startswith(TIMED_AREAS)}
        for line in read_metrics(run)
    ]


@pytest.fixture(scope="module")
def straight(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`tiny_config` from start to end without a stop."""
    run = tmp_path_factory.mktemp("straight")
    train(toy_data.storage.uri, run, tiny_config)
    return run


def test_a_run_writes_the_files_of_the_contract(straight: Path, tiny_config: TrainConfig) -> None:
    assert saved_config(straight) == tiny_config
    values = json.loads((straight / "config.json").read_text())
    assert set(values) == {"config", "dataset", "versions"}
    assert [path.name for path in checkpoint_files(straight)] == [
        "step-00000008.pt",
        "step-00000012.pt",
    ]
    lines = read_metrics(straight)
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    for name in (
        "train/loss",
        "train/within_movie_r1",
        "train/global_r1",
        "train/within_softmax_mass",
        "optim/lr",
        "optim/grad_norm",
        "data/wait_fraction",
        "data/queue_batches",
        "throughput/clips_per_second",
    ):
        assert all(math.isfinite(line[name]) for line in lines), name
    assert "eval/v2a_within_movie_r1" in lines[-1]
    assert lines[-1]["eval/v2a_within_movie_r1_chance"] == pytest.approx(1 / 16)


@pytest.mark.parametrize("stop", [3, 8])
def test_a_resumed_run_equals_an_uninterrupted_run(
    stop: int, straight: Path, toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    outcome = train(
        toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, stop_at_step=stop)
    )
    assert outcome.retrieval is None
    # Other use of the global random generator in between must not matter.
    torch.manual_seed(123)
    assert train(toy_data.storage.uri, tmp_path, tiny_config).retrieval is not None
    resumed, expected = weights(tmp_path), weights(straight)
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert untimed(tmp_path) == untimed(straight)


def test_lines_after_the_last_checkpoint_are_written_again_once(
    straight: Path, toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    # A crash at step 7: the checkpoint is from step 4, lines up to step 6 are there.
    uri = toy_data.storage.uri
    train(uri, tmp_path, dataclasses.replace(tiny_config, stop_at_step=7, checkpoint_every=4))
    checkpoint_files(tmp_path)[-1].unlink()
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4, 6]
    train(uri, tmp_path, tiny_config)
    assert untimed(tmp_path) == untimed(straight)


def test_a_run_saves_on_sigterm_and_resumes(
    straight: Path,
    toy_data: Dataset,
    tiny_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, handler = train_module.learn, signal.getsignal(signal.SIGTERM)

    def learn_and_send_sigterm(*arguments: Any) -> Any:
        result = original(*arguments)
        if arguments[2] == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "learn", learn_and_send_sigterm)
        outcome = train(toy_data.storage.uri, tmp_path, tiny_config)
    assert outcome.retrieval is None
    assert outcome.stopped_by_signal
    assert signal.getsignal(signal.SIGTERM) == handler
    assert load_checkpoint(checkpoint_files(tmp_path)[-1]).step == 5
    train(toy_data.storage.uri, tmp_path, tiny_config)
    assert untimed(tmp_path) == untimed(straight)


def test_a_finished_run_does_not_train_further(
    straight: Path, toy_data: Dataset, tiny_config: TrainConfig
) -> None:
    before = untimed(straight)
    outcome = train(toy_data.storage.uri, straight, tiny_config)
    assert outcome.retrieval is not None
    assert untimed(straight) == before


def test_other_settings_are_rejected_by_name(
    straight: Path, toy_data: Dataset, tiny_config: TrainConfig
) -> None:
    other = dataclasses.replace(
        tiny_config,
        seed=5,
        policy=dataclasses.replace(tiny_config.policy, clips_per_movie=2),
    )
    with pytest.raises(InputError) as caught:
        train(toy_data.storage.uri, straight, other)
    assert "seed: 0 became 5" in str(caught.value)
    assert "policy.clips_per_movie: 4 became 2" in str(caught.value)


def test_monitoring_settings_may_change(
    straight: Path, toy_data: Dataset, tiny_config: TrainConfig
) -> None:
    stream = dataclasses.replace(tiny_config.stream, num_threads=1)
    train(toy_data.storage.uri, straight, dataclasses.replace(tiny_config, stream=stream))


def test_another_dataset_is_rejected(
    straight: Path,
    tiny_config: TrainConfig,
    make_toy_dataset: Callable[..., Dataset],
    tmp_path: Path,
) -> None:
    other = make_toy_dataset(str(tmp_path / "other"), num_movies=10, clips_per_movie=12)
    with pytest.raises(InputError, match=f"dataset fingerprint: .* became {other.fingerprint}"):
        train(other.storage.uri, straight, tiny_config)


def test_too_few_movies_leave_no_folder(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    policy = dataclasses.replace(tiny_config.policy, movies_per_batch=50)
    run = tmp_path / "run"
    with pytest.raises(PolicyError, match="a batch needs 50 movies"):
        train(toy_data.storage.uri, run, dataclasses.replace(tiny_config, policy=policy))
    assert not run.exists()


@pytest.mark.parametrize(
    ("poisoned", "bad_step"),
    [
        ("loss", 6),
        ("gradient", 8),
        pytest.param("loss", 8, marks=pytest.mark.slow),
        pytest.param("gradient", 6, marks=pytest.mark.slow),
    ],
)
def test_a_non_finite_step_ends_the_run_without_a_checkpoint(
    poisoned: str,
    bad_step: int,
    toy_data: Dataset,
    tiny_config: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A checkpoint is due after step 8."""
    original, calls = Criterion.forward, itertools.count(1)

    def poison(criterion: Any, embeddings: Any, *arguments: Any) -> Any:
        output = original(criterion, embeddings, *arguments)
        if next(calls) != bad_step:
            return output
        if poisoned == "loss":
            return dataclasses.replace(output, loss=output.loss * math.nan)
        # The root's value at zero is finite and its slope is not.
        zero = embeddings.video.square().sum() * 0.0
        return dataclasses.replace(output, loss=output.loss + zero.sqrt())

    monkeypatch.setattr(Criterion, "forward", poison)
    with pytest.raises(NonFiniteStepError, match=rf"step {bad_step} has .* rows \[\d+, "):
        train(toy_data.storage.uri, tmp_path, tiny_config)
    newest = load_checkpoint(checkpoint_files(tmp_path)[-1])
    assert newest.step == 4
    assert all(bool(value.isfinite().all()) for value in newest.model.values())


def test_training_learns_beyond_chance_on_unseen_movies(trained_run: Path) -> None:
    last = read_metrics(trained_run)[-1]
    assert last["train/loss"] < read_metrics(trained_run)[0]["train/loss"]
    # Two of a movie's 16 clips share a class, so knowing classes gives 1/2; chance is 1/16.
    chance = last["eval/v2a_within_movie_r1_chance"]
    assert chance == pytest.approx(1 / 16)
    assert last["eval/v2a_within_movie_r1"] > 2 * chance
    assert last["eval/a2v_within_movie_r1"] > 2 * chance


def test_learning_rate_rises_then_falls() -> None:
    config = OptimizerConfig(lr=1.0, warmup_steps=4, final_lr_fraction=0.1)
    rates = [learning_rate(step, 24, config) for step in range(25)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[14] == pytest.approx(0.55)
    assert rates[24] == pytest.approx(0.1)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_biases_norms_and_scale_are_not_decayed() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    decayed, plain = build_optimizer(model, OptimizerConfig(weight_decay=0.3)).param_groups
    assert [(w.shape, decayed["weight_decay"]) for w in decayed["params"]] == [((2, 3), 0.3)]
    assert len(plain["params"]) == 3
    assert plain["weight_decay"] == 0.0


def test_two_ranks_train_and_one_rank_resumes(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(tiny_config, steps=6, stop_at_step=3)
    code = (
        "import sys, torch; torch.set_num_threads(1); from pathlib import Path; import json; "
        "from trainer.config import TrainConfig; from trainer.train import train; "
        "from trainer.runs.config_file import config_from_json; "
        "config = config_from_json(TrainConfig, json.loads(sys.argv[3]), ''); "
        "train(sys.argv[1], Path(sys.argv[2]), config)"
    )
    arguments = [toy_data.storage.uri, str(tmp_path), json.dumps(config_to_json(config))]
    ranks = start_ranks(["-W", "error", "-c", code, *arguments], 2)
    assert [rank.wait(timeout=500) for rank in ranks] == [0, 0]
    assert [line["step"] for line in read_metrics(tmp_path)] == [2]
    train(toy_data.storage.uri, tmp_path, dataclasses.replace(config, stop_at_step=0))
    assert [line["step"] for line in read_metrics(tmp_path)] == [2, 4, 6]


@pytest.mark.gpu
def test_training_on_a_gpu(toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path) -> None:
    stream = dataclasses.replace(tiny_config.stream, pin_memory=True)
    config = dataclasses.replace(tiny_config, precision="bf16", stream=stream)
    assert train(toy_data.storage.uri, tmp_path, config).retrieval is not None
    assert math.isfinite(read_metrics(tmp_path)[-1]["train/loss"])
