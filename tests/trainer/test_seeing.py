"""What a run shows: banner, time left, probes, TensorBoard images, trackers."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.console import StepBar, duration_text
from trainer.runs.journal import read_metrics
from trainer.trackers import open_trackers
from trainer.train import TrainOutcome, train


@pytest.fixture(scope="module")
def labels(toy_data: Dataset, toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class for every clip: its number modulo 4."""
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "start_seconds", "end_seconds", "label"])
        for row in toy_data.clips.to_pylist():
            span = (row["start_ns"] / 1e9, row["end_ns"] / 1e9)
            writer.writerow([row["movie_id"], *span, row["clip_number"] % 4])
    return path


@pytest.fixture(scope="module")
def shown(
    toy_data: Dataset,
    tiny_config: TrainConfig,
    labels: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, TrainOutcome, str]:
    """A run that shows everything, and what it printed."""

    run = tmp_path_factory.mktemp("shown")
    config = dataclasses.replace(
        tiny_config,
        steps=3,
        log_every=1,
        eval_probes=True,
        eval_labels=str(labels),
        tensorboard=True,
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        outcome = train(toy_data.storage.uri, run, config)
    return run, outcome, printed.getvalue()


def test_the_banner_says_what_will_happen(shown: tuple[Path, TrainOutcome, str]) -> None:
    run, _, printed = shown
    lines = printed.splitlines()
    text = "\n".join(lines[:8])
    assert f"{run} starts, of 3 steps; data file://" in text
    assert "device: 1 x CPU with 1 threads, float32" in text
    assert "model: video small " in text
    assert "GFLOP per clip, forward and backward" in text
    # (4 - 1) / (4 * 4 - 1)
    assert "batches: 4 movies x 4 clips = 16, rho 0.200" in text
    steps = [line for line in lines if line.startswith("step ")]
    assert [line.split()[1] for line in steps] == ["1/3", "2/3", "3/3"]
    assert steps[-1].endswith("0:00:00 left")


def test_a_resumed_run_says_where(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stop in (1, 2):
        train(toy_data.storage.uri, tmp_path, dataclasses.replace(tiny_config, stop_at_step=stop))
    assert f"{tmp_path} resumes after step 1, of 12 steps" in capsys.readouterr().out


def test_probes_are_metrics_of_the_evaluation(shown: tuple[Path, TrainOutcome, str]) -> None:
    run, outcome, _ = shown
    assert outcome.evaluation is not None
    last = read_metrics(run)[-1]
    for modality in ("video", "audio"):
        for kind in ("class", "movie"):
            probe = outcome.evaluation.probes[f"{kind}_probe_{modality}"]
            assert last[f"eval/{kind}_probe_{modality}"] == pytest.approx(probe.accuracy)
            assert last[f"eval/{kind}_probe_{modality}_chance"] == pytest.approx(probe.chance)
    assert outcome.evaluation.probes["class_probe_video"].num_classes == 4


def test_tensorboard_has_images_and_histograms(shown: tuple[Path, TrainOutcome, str]) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(shown[0] / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert set(tags["images"]) == {"input/frames", "input/logmel"}
    assert any(tag.startswith("weights/video.") for tag in tags["histograms"])
    assert "train/loss" in tags["scalars"]


def test_a_missing_tracker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(InputError, match="--trackers trackio: it is not installed: pip install"):  # noqa: SIM117
        with open_trackers(["trackio"], "project", tmp_path, {}):
            raise AssertionError


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_wandb_offline_gets_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with open_trackers(["wandb"], "tests", tmp_path, {"steps": 3}) as trackers:
        for step in (1, 2):
            trackers.log(step, {"train/loss": 1.0 / step})
    [log] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert log.read_bytes().count(b"train/loss") >= 2


TRACKIO = """
import sys
from pathlib import Path
from trainer.trackers import open_trackers

for first in (1, 3):
    # The copy of a run in a bucket is in another folder for each launch.
    folder = Path(sys.argv[1]) / str(first) / "run"
    uri = "s3://bucket/runs/first"
    with open_trackers(["trackio"], "tests", folder, {"steps": 4}, identity=uri) as trackers:
        for step in (first, first + 1):
            trackers.log(step, {"train/loss": 1.0 / step})
"""


@pytest.mark.slow
def test_trackio_gets_every_line_of_a_resumed_run(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    home = tmp_path / "trackio"
    subprocess.run(
        [sys.executable, "-c", TRACKIO, str(tmp_path)],
        env={**os.environ, "TRACKIO_DIR": str(home), "HF_HUB_OFFLINE": "1"},
        check=True,
        timeout=300,
    )
    with sqlite3.connect(home / "tests.db") as base:
        rows = base.execute("select run_name, step, metrics from metrics order by step").fetchall()
    assert {name.rpartition("-")[0] for name, *_ in rows} == {"first"}
    assert len({name for name, *_ in rows}) == 1
    assert [step for _, step, _ in rows] == [1, 2, 3, 4]
    assert [json.loads(text)["train/loss"] for *_, text in rows] == [1, 1 / 2, 1 / 3, 1 / 4]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00:00"),
        (-3, "0:00:00"),
        (59.6, "0:01:00"),
        (3723, "1:02:03"),
        (180_000, "2 d 2:00:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_bar_outside_of_terminals_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with StepBar(0, 2) as bar:
        bar.advance()
        bar.advance()
    assert capsys.readouterr().out == ""
