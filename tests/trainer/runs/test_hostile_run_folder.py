"""Run folders of somebody else, or damaged ones: one error that names the file, exit code 2."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.runs.checkpoints.checkpoint import checkpoint_files
from trainer.runs.config_file import CONFIG_JSON
from trainer.runs.folder import MOVIES_JSON
from trainer.runs.journal.metric_log import METRICS_JSONL, read_metrics
from trainer.runs.lock import LOCK
from trainer.train import train

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def stopped_run(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run after one of two steps."""
    run = tmp_path_factory.mktemp("run")
    train(toy_data.storage.uri, run, dataclasses.replace(tiny_config, steps=2, stop_at_step=1))
    return run


@pytest.fixture
def run(stopped_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(stopped_run, tmp_path / "run")
    return tmp_path / "run"


def change(**changes: Any) -> Damage:
    """Other values in the newest checkpoint."""

    def damage(run: Path) -> None:
        path = checkpoint_files(run)[-1]
        values = torch.load(path, weights_only=True)
        for name, value in changes.items():
            values[name] = value(values[name]) if callable(value) else value
        torch.save({name: value for name, value in values.items() if value != "gone"}, path)

    return damage


def write(name: str, data: bytes) -> Damage:
    def damage(run: Path) -> None:
        path = checkpoint_files(run)[-1] if name == "checkpoint" else run / name
        path.write_bytes(data)

    return damage


def replace(name: str, make: Callable[[Path], object]) -> Damage:
    def damage(run: Path) -> None:
        path = checkpoint_files(run)[-1] if name == "checkpoint" else run / name
        path.unlink()
        make(path)

    return damage


def setting(**values: Any) -> Damage:
    """Other settings in `config.json`."""

    def damage(run: Path) -> None:
        content = json.loads((run / CONFIG_JSON).read_text())
        content["config"].update(values)
        (run / CONFIG_JSON).write_text(json.dumps(content))

    return damage


def without(name: str) -> Damage:
    """`config.json` without one of its parts."""

    def damage(run: Path) -> None:
        content = json.loads((run / CONFIG_JSON).read_text())
        content.pop(name)
        (run / CONFIG_JSON).write_text(json.dumps(content))

    return damage


def cut(run: Path) -> None:
    path = checkpoint_files(run)[-1]
    path.write_bytes(path.read_bytes()[:-1000])


def packed(run: Path) -> None:
    """A small archive that unpacks to much more."""
    path = checkpoint_files(run)[-1]
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in members.items():
            new.writestr(name, data)


def first_weight(value: Any) -> Damage:
    def damage(model: dict[str, Any]) -> dict[str, Any]:
        return {**model, next(iter(model)): value}

    return change(model=damage)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "checkpoint cut": (cut, "cannot be read"),
    "empty checkpoint": (write("checkpoint", b""), "cannot be read"),
    "checkpoint of text": (write("checkpoint", b"weights" * 1000), "cannot be read"),
    "old pickle": (write("checkpoint", b"\x80\x02cposix\nsystem\nq\x00."), "cannot be read"),
    "packed checkpoint": (packed, r"cannot be read \(compressed"),
    "checkpoint is a pipe": (replace("checkpoint", os.mkfifo), "not a regular file"),
    "checkpoint is a device": (
        replace("checkpoint", lambda path: path.symlink_to("/dev/zero")),
        "link out of the run folder",
    ),
    "checkpoint is a folder": (replace("checkpoint", Path.mkdir), "cannot be read"),
    "no weights": (change(model="gone"), "model missing"),
    "weights of text": (first_weight("x"), "model is not a table of weights"),
    "weights of NaN": (first_weight(torch.full((4, 4), torch.nan)), "NaN or infinite"),
    "weights of another shape": (first_weight(torch.zeros(4, 4, 4)), "does not fit"),
    "a list as model": (change(model=[1]), "model is not a table of weights"),
    "step of text": (change(step="many"), "step is not of type int"),
    "step below zero": (change(step=-5), "step is -5"),
    "unknown field": (change(more=3), "more missing or unknown"),
    "no generator": (change(rng=torch.zeros(3)), "rng is not a state"),
    "optimizer of another run": (
        change(optimizer={"state": {}, "param_groups": []}),
        "does not fit",
    ),
    "empty optimizer": (change(optimizer={}), "does not fit"),
    "position of text": (change(plan={"epoch": "x"}), "position in the data is corrupt"),
    "deep settings": (write(CONFIG_JSON, b"[" * 100_000), "is corrupt"),
    "settings of bytes": (write(CONFIG_JSON, b"\xff\xfe\x00"), "is corrupt"),
    "settings of a list": (write(CONFIG_JSON, b"[1]"), "is corrupt"),
    "settings without settings": (write(CONFIG_JSON, b'{"config": 3}'), "is corrupt"),
    "settings are a pipe": (replace(CONFIG_JSON, os.mkfifo), "not a regular file"),
    "settings are elsewhere": (
        replace(CONFIG_JSON, lambda path: path.symlink_to("/etc/hostname")),
        "link out of the run folder",
    ),
    "steps of text": (setting(steps="many"), "steps = 'many' has another type"),
    "steps of truth": (setting(steps=True), "steps = True has another type"),
    "steps below zero": (setting(steps=-1), r"config\.json: "),
    "model of text": (setting(model="x"), "is not an object of settings"),
    "policy of lists": (setting(policy={"schedule": []}), r"schedule = \[\] has another type"),
    "unknown setting": (setting(color="red"), "unknown settings color"),
    "no dataset": (without("dataset"), "dataset.fingerprint is missing"),
    "lock elsewhere": (
        replace(LOCK, lambda path: path.symlink_to("/etc/passwd")),
        "link out of the run folder",
    ),
    "metrics elsewhere": (
        replace(METRICS_JSONL, lambda path: path.symlink_to(path.parents[1] / "new")),
        "link out of the run folder",
    ),
}

#: What `evaluate` does not read.
ONLY_TRAINING = {
    *("optimizer of another run", "empty optimizer", "position of text", "lock elsewhere"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_hostile_run_folder_is_one_error(
    run: Path, toy_data: Dataset, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, message = DAMAGES[name]
    damage(run)
    for command in ("train", "evaluate"):
        if command == "evaluate" and name in ONLY_TRAINING:
            continue
        assert main([command, "--data", toy_data.storage.uri, "--run", str(run)]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert error.startswith("error: ")
        assert str(run) in error
        assert re.search(message, error), error
    assert not (run.parent / "new").exists()


def test_a_folder_of_checkpoints_elsewhere_is_not_written_to(
    run: Path, toy_data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "checkpoints").rename(run.parent / "elsewhere")
    (run / "checkpoints").symlink_to(run.parent / "elsewhere")
    before = sorted((run.parent / "elsewhere").iterdir())
    assert main(["train", "--data", toy_data.storage.uri, "--run", str(run)]) == 2
    assert "link out of the run folder" in " ".join(capsys.readouterr().err.split())
    assert sorted((run.parent / "elsewhere").iterdir()) == before


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"epoch": 1}', "[" * 50_000, '{"step": "x"}', "\udcff"]
)
def test_lines_that_are_no_metrics_are_left_out(run: Path, toy_data: Dataset, text: str) -> None:
    with (run / METRICS_JSONL).open("ab") as file:
        file.write(text.encode("utf-8", "surrogateescape") + b"\n")
    assert all(isinstance(line["step"], int) for line in read_metrics(run))
    assert main(["train", "--data", toy_data.storage.uri, "--run", str(run)]) == 0
    assert [line["step"] for line in read_metrics(run)] == [2]


def test_digests_of_another_kind_are_an_error(
    run: Path, make_toy_dataset: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_toy_dataset(str(run.parent / "data"), num_movies=11, clips_per_movie=16)
    words = ["train", "--data", other.storage.uri, "--run", str(run), "--allow-appended-data"]
    for text in ("[1]", "[" * 50_000, "\x00"):
        (run / MOVIES_JSON).write_text(text)
        assert main(words) == 2
        assert f"{MOVIES_JSON} is corrupt" in capsys.readouterr().err
