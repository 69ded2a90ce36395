"""Averages, schedules, longer runs, kept checkpoints and buckets, resumed bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.storage import Storage
from trainer.config import OptimizerConfig, TrainConfig
from trainer.runs.bucket.lock import LOCKS
from trainer.runs.checkpoints.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint
from trainer.runs.evaluate import export, load_encoder
from trainer.runs.evaluate.evaluation import evaluate
from trainer.runs.folder import load_run
from trainer.runs.journal.metric_log import TIMED_AREAS, read_metrics
from trainer.runs.learning.optimizer import learning_rate
from trainer.train import train


@pytest.fixture(scope="module")
def config(tiny_config: TrainConfig) -> TrainConfig:
    """Six steps with an average, a schedule that ends, evaluations and milestones."""
    return dataclasses.replace(
        tiny_config,
        steps=6,
        log_every=1,
        checkpoint_every=2,
        milestone_every=4,
        eval_every=3,
        ema_decay=0.9,
        optimizer=dataclasses.replace(
            tiny_config.optimizer, schedule="wsd", decay_fraction=0.5, warmup_steps=1
        ),
    )


@pytest.fixture(scope="module")
def straight(
    toy_data: Dataset, config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run in one launch, with checkpoints written in the foreground."""
    run = tmp_path_factory.mktemp("straight")
    train(toy_data.storage.uri, run, dataclasses.replace(config, background_checkpoints=False))
    return run


def state(run: Path) -> Checkpoint:
    found = newest_checkpoint(run)
    assert found is not None
    return found


def assert_same(left: Any, right: Any) -> None:
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def assert_same_state(left: Path, right: Path) -> None:
    one, other = state(left), state(right)
    for name in ("step", "model", "optimizer", "plan", "rng", "average", "best_retrieval", "loss"):
        assert_same(getattr(one, name), getattr(other, name))
    assert untimed(left) == untimed(right)


def untimed(run: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if not key.startswith(TIMED_AREAS)}
        for line in read_metrics(run)
    ]


def test_a_resumed_run_is_the_same(
    toy_data: Dataset, config: TrainConfig, straight: Path, tmp_path: Path
) -> None:
    for stop in (1, 4, 0):
        train(toy_data.storage.uri, tmp_path, dataclasses.replace(config, stop_at_step=stop))
    assert_same_state(straight, tmp_path)


def test_best_and_milestones_are_kept(straight: Path) -> None:
    names = {path.name for path in (straight / "checkpoints").iterdir()}
    # The steps with evaluations have a checkpoint when they are the best so far.
    assert {"step-00000006.pt", "milestone-00000004.pt", "best.pt"} <= names
    best = load_checkpoint(straight / "checkpoints" / "best.pt")
    scores = {
        line["step"]: (line["eval/v2a_within_movie_r1"] + line["eval/a2v_within_movie_r1"]) / 2
        for line in read_metrics(straight)
        if "eval/v2a_within_movie_r1" in line
    }
    assert scores.keys() == {3, 6}
    assert best.best_retrieval == pytest.approx(max(scores.values()))
    assert best.step == min(step for step in scores if scores[step] == max(scores.values()))
    loaded = load_run(straight, best=True)
    assert loaded.steps_done == best.step


def test_evaluations_use_the_average(straight: Path, toy_data: Dataset) -> None:
    logged = read_metrics(straight)[-1]
    averaged = evaluate(toy_data.storage.uri, straight, average=True).retrieval.metrics()
    plain = evaluate(toy_data.storage.uri, straight).retrieval.metrics()
    for key in ("eval/v2a_global_median_rank", "eval/a2v_within_movie_r5"):
        assert logged[key] == pytest.approx(averaged[key])
    assert plain != averaged
    own, other = (
        load_encoder(straight, average=average).model.state_dict() for average in (False, True)
    )
    assert any(not torch.equal(own[name], other[name]) for name in own)


def test_without_an_average_there_is_none(trained_run: Path) -> None:
    with pytest.raises(InputError, match="no averaged weights: it was trained without --ema-decay"):
        load_run(trained_run, average=True)


def test_a_run_can_be_made_longer(toy_data: Dataset, config: TrainConfig, tmp_path: Path) -> None:
    constant = dataclasses.replace(
        config,
        eval_every=0,
        optimizer=dataclasses.replace(config.optimizer, schedule="constant"),
    )
    for steps in (4, 6):
        train(toy_data.storage.uri, tmp_path / "a", dataclasses.replace(constant, steps=steps))
    train(toy_data.storage.uri, tmp_path / "b", constant)
    for name in ("model", "optimizer", "average", "rng"):
        one, other = (getattr(state(tmp_path / run), name) for run in "ab")
        assert_same(one, other)
    with pytest.raises(InputError, match="steps: 6 became 5"):
        train(toy_data.storage.uri, tmp_path / "a", dataclasses.replace(constant, steps=5))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("wsd", [0.5, 1, 1, 1, 1, 1, 1, 0.775, 0.55, 0.325]),
    ],
)
def test_schedules(schedule: Any, expected: list[float]) -> None:
    config = OptimizerConfig(
        lr=1.0, warmup_steps=2, schedule=schedule, decay_fraction=0.4, final_lr_fraction=0.1
    )
    found = [learning_rate(step, 10, config) for step in range(10)]
    assert found == pytest.approx(expected)
    assert learning_rate(10, 10, config) == pytest.approx(0.1 if schedule == "wsd" else 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ema_decay": 1.0}, "ema-decay = 1"),
        ({"ema_decay": -0.1}, "ema-decay"),
        ({"milestone_every": 3}, "multiple of checkpoint-every = 2"),
    ],
)
def test_other_settings_are_rejected(
    config: TrainConfig, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(config, **change)


# -- buckets ---------------------------------------------------------------------------------------


def test_a_run_in_a_bucket_resumes(
    toy_data: Dataset, config: TrainConfig, straight: Path, tmp_path: Path, s3_bucket: str
) -> None:
    run = f"{s3_bucket}/runs/first"
    for stop in (3, 0):
        train(toy_data.storage.uri, run, dataclasses.replace(config, stop_at_step=stop))
    storage = Storage(run)
    keys = {info.key for info in storage.list()}
    assert not [key for key in keys if key.startswith(LOCKS)]
    assert {"config.json", "movies.json", "metrics.jsonl"} <= keys
    assert len([key for key in keys if "/step-" in key]) == 2
    for key in keys:
        (tmp_path / key).parent.mkdir(exist_ok=True, parents=True)
        storage.download(key, tmp_path / key)
    assert_same_state(straight, tmp_path)
    # Evaluation and encoders read it where it is.
    found = evaluate(toy_data.storage.uri, run)
    assert (found.steps_done, found.run) == (6, run)
    assert load_encoder(run).recipe == toy_data.recipe
    with pytest.raises(InputError, match="seed: 0 became 5"):
        train(toy_data.storage.uri, run, dataclasses.replace(config, seed=5))


def test_an_export_in_a_bucket_is_loaded(straight: Path, tmp_path: Path, s3_bucket: str) -> None:
    uri = f"{s3_bucket}/exported"
    for path in export(straight, tmp_path):
        Storage(uri).put(path.name, path)
    found, own = (load_encoder(place).model.state_dict() for place in (uri, f"file://{straight}"))
    assert_same(found, own)
