"""Two launches in one run folder, and what a rejected launch leaves behind."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.ranks.world import World
from trainer.runs.lock import LOCK, lock_run
from trainer.train import train

ALONE = World(0, 1, torch.device("cpu"))

HOLDER = """
import sys, torch
from pathlib import Path
from trainer.ranks.world import World
from trainer.runs.lock import lock_run

with lock_run(Path(sys.argv[1]), World(0, 1, torch.device("cpu"))):
    (Path(sys.argv[1]) / "something").touch()
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_second_launch_is_rejected_until_the_first_has_ended(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-c", HOLDER, str(run)]
    config = dataclasses.replace(tiny_config, steps=2)
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(InputError, match=rf"another launch .* \(process {holder.pid} on "):
            train(toy_data.storage.uri, run, config)
        assert sorted(path.name for path in run.iterdir()) == [LOCK, "something"]
        # However the holder ends, its lock ends with it.
        holder.kill()
        holder.wait()
        assert train(toy_data.storage.uri, run, config).steps_done == 2


def test_one_process_cannot_train_twice_in_a_folder(tmp_path: Path) -> None:
    with (
        lock_run(tmp_path / "run", ALONE),
        pytest.raises(InputError, match=rf"process {os.getpid()} on "),
        lock_run(tmp_path / "run", ALONE),
    ):
        pass


def test_an_empty_run_folder_is_removed(tmp_path: Path) -> None:
    with lock_run(tmp_path / "new", ALONE):
        pass
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"), lock_run(tmp_path / "file", ALONE):
        pass
