"""Checkpoints and the metrics log: complete or absent, limited in number, rejected by name."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch

from shards_spec.errors import InputError
from trainer.runs.atomic_files import atomic_file, write_text
from trainer.runs.checkpoints.checkpoint import (
    Checkpoint,
    checkpoint_files,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from trainer.runs.journal.metric_log import METRICS_JSONL, MetricLog, read_metrics


def state(step: int) -> Checkpoint:
    return Checkpoint(
        step=step,
        model={"weight": torch.full((3,), float(step))},
        optimizer={"state": {0: {"step": torch.tensor(step)}}, "param_groups": [{"lr": 0.1}]},
        plan={"epoch": 1, "step": step},
        config={"seed": 0},
        rng=torch.get_rng_state(),
    )


def test_a_saved_checkpoint_is_loaded(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, state(7), keep=2)
    assert path.name == "step-00000007.pt"
    found = load_checkpoint(path)
    assert (found.step, found.plan, found.config) == (7, {"epoch": 1, "step": 7}, {"seed": 0})
    assert torch.equal(found.model["weight"], torch.full((3,), 7.0))
    assert torch.equal(found.rng, state(7).rng)


def test_the_newest_checkpoints_are_kept_and_used(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    for step in (5, 90, 100):
        save_checkpoint(tmp_path, state(step), keep=2)
    assert [path.name for path in checkpoint_files(tmp_path)] == [
        "step-00000090.pt",
        "step-00000100.pt",
    ]
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.step == 100


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_non_finite_weights_are_neither_written_nor_read(value: float, tmp_path: Path) -> None:
    poisoned = dataclasses.replace(state(2), model={"weight": torch.tensor([1.0, value])})
    with pytest.raises(InputError, match=r"step 2 of .*: weight is NaN or infinite"):
        save_checkpoint(tmp_path, poisoned, keep=2)
    assert checkpoint_files(tmp_path) == []
    # As an earlier version would have written it.
    path = save_checkpoint(tmp_path, state(2), keep=2)
    torch.save({**torch.load(path, weights_only=True), "model": poisoned.model}, path)
    with pytest.raises(InputError, match=r"step-00000002\.pt: weight is NaN or infinite"):
        newest_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_rejected_with_advice(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, state(1), keep=2)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"step-00000001\.pt cannot be read .* delete it"):
        newest_checkpoint(tmp_path)


def test_a_checkpoint_that_runs_code_is_rejected(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "owned").write_text, ("x",))

    path = tmp_path / "checkpoints" / "step-00000001.pt"
    path.parent.mkdir()
    torch.save({"version": 1, "model": Malicious()}, path)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail() -> None:
        with atomic_file(path) as file:
            file.write(b"ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_omit_values_that_are_not_numbers(tmp_path: Path) -> None:
    with MetricLog(tmp_path, 0, tensorboard=False) as log:
        log.write(1, 0, {"train/loss": 2.5, "train/within_movie_r1": float("nan")})
    assert read_metrics(tmp_path) == [{"step": 1, "epoch": 0, "train/loss": 2.5}]


def test_metrics_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    with MetricLog(tmp_path, 0, tensorboard=False) as log:
        for step in (10, 20, 30):
            log.write(step, 0, {"train/loss": 1.0})
    # What a crash in the middle of a line leaves.
    with (tmp_path / METRICS_JSONL).open("a") as file:
        file.write('{"step": 40, "ep')
    with MetricLog(tmp_path, 20, tensorboard=False) as log:
        log.write(30, 0, {"train/loss": 0.5})
    text = (tmp_path / METRICS_JSONL).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["step"], line["train/loss"]) for line in lines] == [(10, 1), (20, 1), (30, 0.5)]


def test_tensorboard_gets_the_same_values(tmp_path: Path) -> None:
    with MetricLog(tmp_path, 0, tensorboard=True) as log:
        log.write(3, 0, {"train/loss": 0.25})
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (scalar,) = events.Scalars("train/loss")
    assert (scalar.step, scalar.value) == (3, 0.25)


def test_without_tensorboard_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="or train with --no-tensorboard"):
        MetricLog(tmp_path, 0, tensorboard=True)
    with MetricLog(tmp_path, 0, tensorboard=False) as log:
        log.write(1, 0, {"loss": 1.0})
