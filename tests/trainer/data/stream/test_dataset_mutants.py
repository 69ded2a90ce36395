"""Datasets with one thing changed at random, opened by every command that opens datasets.

No command raises anything but our errors, takes long, needs much memory, shows or opens a file
outside of the dataset. More mutants than here: set `REELSHARDS_MUTANTS` to a range of seeds, such
as `0-300`, and run `make test-exhaustive` with a `--timeout` that suffices.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile.mutants import SECRET, make_clean
from trainer.config import TrainConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.train import train

#: Memory that a mutant may take more than the clean dataset.
MORE_BYTES = 1 << 30

#: Ends a process that hangs; far longer than any command needs on a busy machine.
HANG_SECONDS = 60

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and uses inotify")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, tiny_config: TrainConfig) -> tuple[Path, Path]:
    """A whole dataset, and a run that was trained on it."""
    folder = tmp_path_factory.mktemp("clean")
    data = make_clean(folder / "data")
    policy = BatchPolicy(
        movies_per_batch=2, clips_per_movie=2, heldout_fraction=0.25, split="train"
    )
    optimizer = dataclasses.replace(tiny_config.optimizer, warmup_steps=1)
    config = dataclasses.replace(tiny_config, steps=1, policy=policy, optimizer=optimizer)
    train(data.storage.uri, folder / "run", config)
    return folder / "data", folder / "run"


def outcomes(clean: tuple[Path, Path], first: int, last: int) -> Iterator[dict[str, Any]]:
    """The clean dataset's outcome, then those of mutants `first` to `last - 1`."""
    words = [*map(str, clean), str(HANG_SECONDS), str(first), str(last)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile.attempts", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"after {lines[-1:]}: {done.stderr[-3000:]}"
    yield from map(json.loads, lines)


def check(clean: tuple[Path, Path], first: int, last: int) -> None:
    usual, *found = outcomes(clean, first, last)
    assert [one["code"] for one in usual["attempts"]] == [0] * 8
    limits = {one["command"]: one["memory_bytes"] + MORE_BYTES for one in usual["attempts"]}
    assert len(found) == last - first
    for mutant in found:
        assert mutant["opened"] == [], mutant
        for attempt in mutant["attempts"]:
            assert attempt["code"] in (0, 1, 2), (mutant["mutant"], attempt)
            assert "Traceback" not in attempt["output"], (mutant["mutant"], attempt)
            assert SECRET not in attempt["output"], (mutant["mutant"], attempt)
            assert attempt["memory_bytes"] < limits[attempt["command"]], mutant["mutant"]


def test_a_mutant(clean: tuple[Path, Path]) -> None:
    check(clean, 1000, 1001)


@pytest.mark.exhaustive
def test_many_mutants(clean: tuple[Path, Path]) -> None:
    first, _, last = os.environ.get("REELSHARDS_MUTANTS", "2000-2030").partition("-")
    check(clean, int(first), int(last))
