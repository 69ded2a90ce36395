from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec.errors import InputError
from shards_spec.reader import Dataset
from trainer.config import TrainConfig
from trainer.study import Cell, StudyConfig, cell_config, study


def test_cells_differ_in_k_alone(tiny_config: TrainConfig) -> None:
    config = StudyConfig(clips_per_movie=(1, 4), batch_size=8, steps=2)
    one, four = (
        cell_config(tiny_config, config, Cell(clips_per_movie=k, within_weight=1.0, seed=0))
        for k in (1, 4)
    )
    assert one.policy.batch_size == four.policy.batch_size == 8
    assert (one.policy.rho, four.policy.rho) == (0.0, 3 / 7)
    assert dataclasses.replace(one, policy=four.policy) == four


def test_a_study_compares_and_goes_on_where_it_stopped(
    make_toy_dataset: Callable[..., Dataset], tiny_config: TrainConfig, tmp_path: Path
) -> None:
    data = make_toy_dataset(str(tmp_path / "data"), num_movies=8, clips_per_movie=8)
    config = StudyConfig(clips_per_movie=(1, 2), batch_size=4, steps=2, seeds=2)
    recipe = dataclasses.replace(
        tiny_config,
        optimiser=dataclasses.replace(tiny_config.optimiser, warmup_steps=1),
        policy=dataclasses.replace(tiny_config.policy, heldout_fraction=0.25, split="train"),
    )
    run = tmp_path / "study"
    table = study(data.storage.uri, run, None, recipe, config)
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["1", "2", "chance"]
    assert " to " in table
    cells = json.loads((run / "study.json").read_text())
    assert len(cells) == 4
    assert {cell["evaluation"]["steps_done"] for cell in cells} == {2}
    stamps = {path: path.stat().st_mtime_ns for path in run.glob("*/evaluation.json")}
    assert len(stamps) == 4
    assert study(data.storage.uri, run, None, recipe, config) == table
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_k_must_divide_the_batch() -> None:
    with pytest.raises(InputError, match="must divide"):
        StudyConfig(clips_per_movie=(1, 5), batch_size=64)
