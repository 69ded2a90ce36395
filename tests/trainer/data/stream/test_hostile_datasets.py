"""Untrusted datasets: training rejects them immediately with one clear error."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec import layout
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import FormatError
from tests.support.datasets.spoiled import spoil_index
from trainer.__main__ import main
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.open_dataset import open_for_training

MakeDataset = Callable[..., Dataset]


@pytest.fixture
def dataset(make_toy_dataset: MakeDataset, tmp_path: Path) -> Dataset:
    return make_toy_dataset(str(tmp_path / "data"), num_movies=3, clips_per_movie=8)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tar_bytes", 2**62),
        ("tar_bytes", 2**40),
        ("tar_offset", -1_000_000),
        ("height", 2**31 - 1),
        ("start_ns", -(2**62)),
        ("end_ns", 2**62),
        ("shard", "shards/../../outside/x-00000.tar"),
    ],
)
def test_impossible_values_are_rejected(
    dataset: Dataset, column: str, value: float | str, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = spoil_index(dataset, column, value)
    policy = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
    with pytest.raises(FormatError, match=rf"clips\.parquet: row 11 .*: {column} is "):
        open_for_training(uri, policy)
    assert main(["plan", "--data", uri]) == 2
    assert f": {column} is " in capsys.readouterr().err


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_filter_on_non_finite_numbers_is_rejected(dataset: Dataset, value: float) -> None:
    uri = spoil_index(dataset, "motion", value)
    policy = BatchPolicy(where="motion > 0 or motion <= 0")
    with pytest.raises(FormatError, match=r"row 11 .*motion is .*a finite number"):
        open_for_training(uri, policy)


def test_an_index_that_is_a_named_pipe_is_rejected_immediately(dataset: Dataset) -> None:
    path = dataset.storage.local_path(layout.CLIPS_PARQUET)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FormatError, match=r"clips\.parquet is not a regular file"):
        open_for_training(dataset.storage.uri, BatchPolicy())
