"""Studies that are stopped or killed, in processes of their own."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shards_spec.cli import run_reporting_errors
from tests.support.launch.descendants import Family, needs_proc
from tests.support.studies import CONFIG, study
from trainer.config import TrainConfig
from trainer.runs.config_file import config_from_json, config_to_json
from trainer.study.config import StudyConfig, StudyCorpus


def _arguments(corpus: StudyCorpus, run: Path, recipe: TrainConfig, config: StudyConfig) -> str:
    """For a process of its own, which is this file as a script."""
    values = {
        "recipe": config_to_json(recipe),
        "study": {**dataclasses.asdict(config), "comparisons": list(config.comparisons)},
        "data": corpus.data,
        "labels": str(corpus.labels),
        "run": str(run),
    }
    return json.dumps(values)


def _environment() -> dict[str, str]:
    """With this process's import path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_stopped_by_sigterm_is_not_complete(
    workers: int, corpora: list[StudyCorpus], recipe: TrainConfig, tmp_path: Path
) -> None:
    """In a separate process, because the signal would reach the test process too."""
    run = tmp_path / "study"
    config = dataclasses.replace(
        CONFIG, comparisons=("weight",), seeds=1, steps=100_000, workers=workers
    )
    program = subprocess.Popen(
        [sys.executable, __file__, _arguments(corpora[0], run, recipe, config)],
        env=_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with program as process:
        until = time.monotonic() + 240
        while not list(run.glob("*/*/metrics.jsonl")) and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        text = process.stderr.read()
        assert process.wait() == 143, text
    assert "run the same command to resume" in text
    assert not list(run.glob("*/*/result.json"))
    assert list(run.glob("*/*/checkpoints/step-*.pt")), "it resumes from there"


@needs_proc
@pytest.mark.slow
def test_the_runs_of_a_killed_study_end(
    corpora: list[StudyCorpus], recipe: TrainConfig, tmp_path: Path
) -> None:
    run, family = tmp_path / "study", Family()
    config = dataclasses.replace(CONFIG, comparisons=("weight",), seeds=1, steps=100_000, workers=2)
    with subprocess.Popen(
        [sys.executable, __file__, _arguments(corpora[0], run, recipe, config)],
        env={**_environment(), **family.env},
    ) as process:
        until = time.monotonic() + 240
        while len(list(run.glob("*/*/metrics.jsonl"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        process.kill()
    family.wait_until_gone()
    assert len(list(run.glob("*/*/metrics.jsonl"))) == 2


def main(text: str) -> int:
    """The program of these tests: a study with the arguments of `_arguments`."""
    values = json.loads(text)
    recipe = config_from_json(TrainConfig, values["recipe"], "")
    config = config_from_json(StudyConfig, values["study"], "")
    corpus = StudyCorpus(name="main", data=values["data"], labels=Path(values["labels"]))

    def run() -> int:
        study([corpus], Path(values["run"]), recipe, config)
        return 0

    return run_reporting_errors(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
