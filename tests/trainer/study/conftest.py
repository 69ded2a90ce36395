"""Fixtures of tests that run studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from shards_spec.dataset.reader import Dataset
from trainer.config import TrainConfig
from trainer.study.config import StudyCorpus


@pytest.fixture
def recipe(tiny_config: TrainConfig) -> TrainConfig:
    policy = dataclasses.replace(tiny_config.policy, heldout_fraction=0.25, split="train")
    return dataclasses.replace(tiny_config, policy=policy)


@pytest.fixture
def corpora(make_toy_dataset: Callable[..., Dataset], tmp_path: Path) -> list[StudyCorpus]:
    labels = tmp_path / "labels.csv"
    rows = [
        f"movie-{movie:03d},{second},{second + 1},{'ab'[second % 2]}"
        for movie in range(8)
        for second in range(20)
    ]
    labels.write_text("\n".join(["source,start_seconds,end_seconds,label", *rows]))
    found = []
    for name in ("main", "other"):
        data = make_toy_dataset(str(tmp_path / name), num_movies=8, clips_per_movie=8)
        found.append(StudyCorpus(name=name, data=data.storage.uri, labels=labels))
    return found
