"""Studies of a few steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from trainer.config import TrainConfig
from trainer.study.config import StudyConfig, StudyCorpus
from trainer.study.runner import Outcome
from trainer.study.runner import study as study_with
from trainer.train import train

CONFIG = StudyConfig(
    clips_per_movie=(1, 2),
    batch_size=4,
    steps=4,
    seeds=2,
    comparisons=("baselines", "curve", "negatives"),
    middle_clips=2,
    workers=1,
)


def study(
    corpora: list[StudyCorpus],
    run: Path,
    recipe: TrainConfig,
    config: StudyConfig,
    *,
    finished_only: bool = False,
) -> Outcome:
    """A study that trains."""
    return study_with(corpora, run, recipe, config, train=train, finished_only=finished_only)


#: The fewest runs that make a comparison.
SMALL = dataclasses.replace(CONFIG, steps=2, seeds=1, comparisons=("baselines", "negatives"))
