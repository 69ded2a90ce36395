"""The command that `docs/operations.md` shows for several GPUs, run unchanged."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from shards_spec.dataset.reader import Dataset
from trainer.runs.journal.metric_log import read_metrics

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"

#: A run of a few seconds.
SMALL = (
    "--config small --steps 2 --log-every 2 --policy.clips-per-movie 4 --stream.frame-size 32 "
    "--stream.num-processes 0 --optimizer.warmup-steps 1 --no-tensorboard"
)


def documented(data: str, run: Path) -> list[str]:
    """The command's arguments after `torchrun`, for this dataset and folder."""
    found = re.search(r"`torchrun (.*?)`", OPERATIONS.read_text())
    assert found is not None
    words = shlex.split(found[1])
    return [{"URI": data, "DIR": str(run), "8": "2"}.get(word, word) for word in words]


def test_torchrun_leaves_our_flags_alone(tmp_path: Path) -> None:
    given = get_args_parser().parse_args(documented("data", tmp_path))
    assert given.module
    assert given.training_script == "trainer"
    assert given.training_script_args == ["train", "--data", "data", "--run", str(tmp_path)]


@pytest.mark.slow
def test_torchrun_trains_on_two_ranks(toy_data: Dataset, tmp_path: Path) -> None:
    words = [*documented(toy_data.storage.uri, tmp_path), *SMALL.split()]
    subprocess.run([sys.executable, "-m", "torch.distributed.run", *words], timeout=300, check=True)
    assert [line["step"] for line in read_metrics(tmp_path)] == [2]
