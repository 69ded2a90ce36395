"""The commands: exit codes, one clear line for bad input, recipes and flags."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from trainer.__main__ import Train, main, parse
from trainer.config import RECIPES, OptimizerConfig
from trainer.config import TrainConfig as Config
from trainer.runs.checkpoints.checkpoint import checkpoint_files, newest_checkpoint
from trainer.runs.config_file import config_from_json, config_to_json, saved_config
from trainer.train import train as train_movies

TOY_FLAGS = [
    *("--steps", "3", "--optimizer.warmup-steps", "1", "--stream.frame-size", "32"),
    *("--policy.movies-per-batch", "4", "--policy.clips-per-movie", "4"),
    *("--model.inputs.frame-size", "32", "--no-tensorboard"),
]


def test_usage_without_torch() -> None:
    code = (
        "import atexit, os, sys; from trainer.__main__ import main; "
        "atexit.register(lambda: 'torch' in sys.modules and os._exit(9)); main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("train", "plan", "evaluate", "export"):
        assert f" {command} " in done.stdout


def test_no_command_and_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["fly"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2
        assert "train" in capsys.readouterr().err


def test_train_evaluate_export(
    toy_data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, run = toy_data.storage.uri, str(tmp_path / "run")
    assert main(["train", "--data", uri, "--run", run, *TOY_FLAGS, "--stop-at-step", "1"]) == 0
    assert "stopped after step 1 of 3" in capsys.readouterr().out
    # Without flags, the run's own settings are used.
    assert main(["train", "--data", uri, "--run", run]) == 0
    assert "retrieval on" in capsys.readouterr().out
    saved = saved_config(Path(run))
    assert saved is not None
    assert (saved.steps, saved.stop_at_step, saved.policy.clips_per_movie) == (3, 0, 4)
    assert main(["evaluate", "--data", uri, "--run", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps_done"] == 3
    assert main(["export", "--run", run, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "video.safetensors").exists()


def test_other_flags_for_a_run_are_rejected(
    toy_data: Dataset, trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", toy_data.storage.uri, "--run", str(trained_run), "--seed", "9"]
    assert main(["train", *arguments]) == 2
    found = capsys.readouterr()
    assert "seed: 0 became 9" in found.err
    assert found.err.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "/no/such/place"], "does not exist"),
        (["--data", "ftp://host/data"], "unknown scheme 'ftp'"),
        (["--policy.movies-per-batch", "99"], "a batch needs 99 movies"),
        (["--stream.frame-size", "512"], "frame_size = 512"),
        (["--policy.where", "no_such > 1"], "no_such"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    flags: list[str],
    message: str,
    toy_data: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    arguments = ["--data", toy_data.storage.uri, "--run", str(run), *TOY_FLAGS, *flags]
    assert main(["train", *arguments]) == 2
    found = capsys.readouterr()
    assert message in found.err
    assert found.err.count("\n") == 1
    assert not run.exists()


def test_a_folder_that_is_not_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--data", str(tmp_path)]) == 2
    assert "is not a dataset" in capsys.readouterr().err


def test_wrong_flags_are_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--data", "x", "--run", "y", "--no-such-flag", "1"])
    assert caught.value.code == 2
    assert main(["train", "--data", "x", "--run", "y", "--config", "huge"]) == 2
    assert "no recipe 'huge'" in capsys.readouterr().err


def test_plan_dumps_global_batches(
    toy_data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "plan.jsonl"
    flags = ["--policy.movies-per-batch", "2", "--policy.clips-per-movie", "4", "--json"]
    assert main(["plan", "--data", toy_data.storage.uri, "--dump", str(dump), *flags]) == 0
    assert json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in dump.read_text().splitlines()]
    assert all(set(line) == {"epoch", "step", "clips"} for line in lines)
    assert all(len(line["clips"]) == 8 for line in lines)


def test_former_flags_are_accepted(tmp_path: Path) -> None:
    flags = ["--optimiser.lr", "0.002", "--optimiser.warmup_steps=1", "--accept-grown"]
    flags += ["--stream.max-hole-bytes", "4096", "--augment.equaliser-db=3.5"]
    command = parse(
        ["train", "--data", "data", "--run", str(tmp_path), "--config", "small", *flags]
    )
    assert isinstance(command, Train)
    assert command.settings.optimizer == OptimizerConfig(lr=0.002, warmup_steps=1)
    assert command.settings.allow_appended_data
    assert command.settings.stream.max_gap_bytes == 4096
    assert command.settings.augment.equalizer_db == 3.5


def test_former_names_in_saved_files_are_read(trained_run: Path, tmp_path: Path) -> None:
    """A run folder as written by an earlier version."""
    shutil.copytree(trained_run, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    values = json.loads(path.read_text())
    values["config"]["optimiser"] = values["config"].pop("optimizer")
    values["config"]["accept_grown"] = values["config"].pop("allow_appended_data")
    augment = values["config"]["augment"]
    augment["equaliser_db"] = augment.pop("equalizer_db")
    stream = values["config"]["stream"]
    stream["max_hole_bytes"] = stream.pop("max_gap_bytes")
    path.write_text(json.dumps(values))
    newest = checkpoint_files(tmp_path / "run")[-1]
    saved = torch.load(newest, weights_only=True)
    saved["optimiser"] = saved.pop("optimizer")
    torch.save(saved, newest)
    assert saved_config(tmp_path / "run") == saved_config(trained_run)
    old, new = (newest_checkpoint(run) for run in (tmp_path / "run", trained_run))
    assert old is not None
    assert new is not None
    assert old.optimizer["param_groups"] == new.optimizer["param_groups"]


def test_a_run_with_nan_weights_is_unusable(
    toy_data: Dataset, trained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its embeddings once scored R@1 = 1, as no comparison with NaN is true."""
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    newest = checkpoint_files(run)[-1]
    saved = torch.load(newest, weights_only=True)
    saved["model"]["video_head.0.weight"].fill_(math.nan)
    torch.save(saved, newest)
    data = ["--data", toy_data.storage.uri, "--run", str(run)]
    for words in (
        ["evaluate", *data, "--min-lift", "1"],
        ["export", "--run", str(run), "--out", str(tmp_path / "out")],
        ["train", *data],
    ):
        assert main(words) == 2
        assert "video_head.0.weight is NaN or infinite" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_short_first_run_needs_no_other_flags(tmp_path: Path) -> None:
    """The warm-up is derived from the number of steps, and reads from the number of clips."""
    words = ["train", "--data", "data", "--run", str(tmp_path), "--config", "small"]
    command = parse([*words, "--steps", "40", "--policy.clips-per-movie", "2"])
    assert isinstance(command, Train)
    settings = command.settings
    assert settings.optimizer.warmup(settings.steps) == 2
    assert settings.policy.clips_per_movie == 2
    long = RECIPES["r2plus1d18"]()
    assert long.optimizer.warmup(long.steps) == 1000


def test_the_gpu_recipe_uses_the_best_within_movie_weight_of_the_study() -> None:
    config = RECIPES["r2plus1d18"]()
    m, k = config.policy.movies_per_batch, config.policy.clips_per_movie
    within = config.loss.within_weight * (k - 1)
    assert within / (within + (m - 1) * k) == pytest.approx(0.24, abs=0.005)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--optimizer.lr", "-1", "optimizer.lr = -1: must be above 0"),
        ("--optimizer.lr", "nan", "optimizer.lr = nan: must be above 0"),
        ("--optimizer.weight-decay", "-0.1", "optimizer.weight-decay = -0.1: must be at least 0"),
        ("--optimizer.max-grad-norm", "-1", "optimizer.max-grad-norm = -1: must be at least 0"),
        ("--optimizer.final-lr-fraction", "2", "optimizer.final-lr-fraction = 2: must be in"),
        ("--optimizer.warmup-steps", "9999", "optimizer.warmup-steps = 9999 exceeds steps = 1000"),
        ("--model.inputs.audio-std", "0", "model.inputs.audio-std = 0: must be above 0"),
        ("--loss.within-weight", "inf", "loss.within-weight = inf: must be above 0 and finite"),
        ("--keep-checkpoints", "1", "keep-checkpoints = 1: must be at least 2"),
        ("--eval-every", "-1", "eval-every = -1: must be at least 0"),
    ],
)
def test_values_out_of_range_name_their_flag(
    flag: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", "data", "--run", str(tmp_path / "run"), "--config", "small"]
    assert main([*words, flag, value]) == 2
    assert f"error: config: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("betas", [("1.5", "0.9"), ("0.9", "1"), ("-0.1", "0.9")])
def test_betas_are_decay_rates(betas: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", "data", "--run", "run", "--config", "small"]
    assert main([*words, "--optimizer.betas", *betas]) == 2
    assert "optimizer.betas = (" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--policy.movies-per-batch", "1"], "takes its negatives from other movies"),
        (["--policy.clips-per-movie", "1"], "needs another clip of the movie"),
        (["--policy.schedule", "100:64"], "takes its negatives from other movies"),
    ],
)
def test_positives_from_the_movie_need_other_movies(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without them the loss is 0 and nothing is learned."""
    words = ["train", "--data", "data", "--run", "run", "--config", "small"]
    assert main([*words, "--loss.positives", "movie", *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_survive_json(name: str) -> None:
    config = RECIPES[name]()
    assert config_from_json(Config, config_to_json(config), "here") == config
    assert config.policy.split == "train"
    assert config.policy.heldout_fraction > 0


def test_study_flags_are_passed_to_the_study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    class Outcome:
        def lines(self) -> list[str]:
            return ["done"]

    def study(*values: Any, train: Any, finished_only: bool) -> Outcome:
        assert train is train_movies
        asked.extend([*values, finished_only])
        return Outcome()

    monkeypatch.setattr("trainer.study.runner.study", study)
    words = ["study", "--data", "a", "--run", str(tmp_path), "--name", "one"]
    words += ["--labels", "a.csv", "--others", "two", "b", "b.csv", "three", "c", "c.csv"]
    words += ["--comparisons", "curve", "corpora"]
    assert main([*words, "--steps", "7", "--clips-per-movie", "1", "8"]) == 0
    assert capsys.readouterr().out == "done\n"
    worlds, run, recipe, config, finished_only = asked
    assert not finished_only
    assert [(w.name, w.data, str(w.labels)) for w in worlds] == [
        ("one", "a", "a.csv"),
        ("two", "b", "b.csv"),
        ("three", "c", "c.csv"),
    ]
    assert (run, recipe) == (tmp_path, RECIPES["study"]())
    assert (config.steps, config.clips_per_movie) == (7, (1, 8))
