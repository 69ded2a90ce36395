"""Where settings come from: recipe, own function, run, file, `--set` and flags, in this order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shards_spec.errors import InputError
from trainer.__main__ import Train, main, parse
from trainer.config import RECIPES, TrainConfig, recipe
from trainer.runs.config_file import config_to_json
from trainer.runs.launch.chosen_settings import chosen_settings, with_values

FILE = """
config = "study"
steps = 77
[policy]
clips-per-movie = 8
[optimizer]
betas = [0.8, 0.9]
lr = 1
[model.inputs]
num_frames = 3
"""

OWN = """
import dataclasses
from trainer.config import TrainConfig
from trainer.config import recipe

@dataclasses.dataclass
class Mine:
    steps: int = 31

def mine():
    return dataclasses.replace(recipe("small"), steps=Mine().steps)

def broken():
    return {}["absent"]

def other():
    return 3
"""


def train_settings(*words: str) -> TrainConfig:
    command = parse(["train", "--data", "x", "--run", "absent", *words])
    assert isinstance(command, Train)
    return command.settings


@pytest.fixture
def former_run(tmp_path: Path) -> Path:
    """A run folder with settings."""
    config = TrainConfig(steps=41, stop_at_step=7, seed=3)
    (tmp_path / "config.json").write_text(json.dumps({"config": config_to_json(config)}))
    return tmp_path


def test_a_file_changes_the_recipe_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(FILE)
    found = chosen_settings(file=str(tmp_path / "mine.toml"), changes=())
    assert found.precision == RECIPES["study"]().precision == "bf16"
    assert (found.steps, found.policy.clips_per_movie) == (77, 8)
    assert (found.optimizer.betas, found.optimizer.lr) == ((0.8, 0.9), 1.0)
    assert isinstance(found.optimizer.lr, float)
    assert found.model.inputs.num_frames == 3


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(FILE)
    words = ["--config-file", str(tmp_path / "mine.toml"), "--config", "small"]
    words += [
        "--set",
        "steps=88",
        "--set",
        "optimizer.warmup-steps=5",
        "--set",
        "model.video=small",
    ]
    found = train_settings(*words, "--optimizer.lr", "0.5")
    assert (found.precision, found.steps) == ("auto", 88)
    assert (found.optimizer.warmup_steps, found.optimizer.lr) == (5, 0.5)
    assert found.policy.clips_per_movie == 8


def test_settings_of_another_run(former_run: Path) -> None:
    found = chosen_settings(from_run=str(former_run), changes=["loss.within_weight=2"])
    # When that launch was stopped is not a setting of the run.
    assert (found.steps, found.seed, found.stop_at_step) == (41, 3, 0)
    assert found.loss.within_weight == 2.0
    # A run that is resumed has its own settings.
    assert chosen_settings(run=str(former_run), changes=()).seed == 3
    assert chosen_settings(run=str(former_run), config="small", changes=()).seed == 0
    with pytest.raises(InputError, match="--from and --config"):
        chosen_settings(from_run=str(former_run), config="small", changes=())
    with pytest.raises(InputError, match="contains no run"):
        chosen_settings(from_run="absent", changes=())


@pytest.mark.parametrize("spelled", ["own_recipes:mine", "folder/file.py:mine"])
def test_a_function_is_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_recipes.py").write_text(OWN)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.py").write_text(OWN)
    found = chosen_settings(config=spelled, changes=["seed=2"])
    assert (recipe(spelled).steps, found.steps, found.seed) == (31, 31, 2)


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        ("file.py:absent", "has no function 'absent'"),
        ("file.py:broken", r"broken\(\) raised KeyError"),
        ("file.py:other", r"other\(\) returned a int, not a TrainConfig"),
        ("absent.py:mine", "cannot be imported"),
        ("no_such_package.module:mine", "cannot be imported: ModuleNotFoundError"),
        ("syntax.py:mine", "cannot be imported: SyntaxError"),
        (":mine", "cannot be imported"),
        ("medium", "no recipe 'medium'; choose auto, small"),
    ],
)
def test_other_functions_are_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.py").write_text(OWN)
    (tmp_path / "syntax.py").write_text("def mine(:\n")
    with pytest.raises(InputError, match=message):
        recipe(spelled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("step=3", "no setting step; did you mean steps"),
        ("policy.clips=3", "no setting policy.clips; known: movies_per_batch, "),
        ("zzz=3", "no setting zzz; known: steps, "),
        ("steps=3.5", r"steps = 3\.5 is not a int"),
        ("steps=true", "steps = True is not a int"),
        ("compile=1", "compile = 1 is not a bool"),
        ("compile=yes", "compile = 'yes' is not a bool"),
        ("model.video=vgg", "model.video = 'vgg': choose one of small"),
        ("model=3", "model is a table of settings"),
        ("optimizer.betas=[0.9]", "expected 2 values"),
        ("optimizer.betas=[0.9, 'x']", "is not a float"),
        ("optimizer.lr=nan", "optimizer.lr = nan: must be above 0"),
        ("steps", "write it as name=value"),
        ("=3", "write it as name=value"),
    ],
)
def test_wrong_changes_are_rejected(change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_settings(config="small", changes=[change])


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ("memory_gib=auto", "memory_gib", "auto"),
        ("memory_gib=3", "memory_gib", 3.0),
        ('precision="fp32"', "precision", "fp32"),
        ("precision=fp32", "precision", "fp32"),
    ],
)
def test_values_are_typed(change: str, name: str, value: Any) -> None:
    assert getattr(chosen_settings(config="small", changes=[change]), name) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"steps = ", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"config = 3", "config = 3 is not the name"),
        (b"config = 'none'", "no recipe 'none'"),
        (b"[steps]\na = 1", "is not a int"),
        (b"[policy]\nwhere = 3", "policy.where = 3 is not a str"),
    ],
)
def test_wrong_files_are_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        chosen_settings(file=str(path), changes=())


def test_nested_values_are_checked_together() -> None:
    # Each alone would exceed the other.
    found = with_values(TrainConfig(), {"steps": 5, "optimizer": {"warmup_steps": 4}}, "test")
    assert (found.steps, found.optimizer.warmup_steps) == (5, 4)


def test_help_begins_with_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--config", "r2plus1d18", "--help"])
    lines = capsys.readouterr().out.splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if line.startswith("All settings"))]
    assert len(head) < 30
    assert max(map(len, head)) <= 100
    assert len([line for line in head if line.startswith("  --")]) == 16
    assert any(line.split()[:2] == ["--steps", "50000"] for line in head)
    assert any("rho 0.059 now" in line for line in head)
