"""Which runs a study compares.

    curve        k clips of a movie in a batch, from none to all of it, at one batch size
    weight       the same batches with within-movie negatives counted more
    augment      k = 1 and the largest k with changes that break look and score, and without
    positives    another moment of the movie as the positive
    corpora       k = 1 and the largest k on other corpora

A run that several comparisons share is made once.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from shards_spec.errors import require
from trainer.config import AugmentConfig, LossConfig, TrainConfig

_require = partial(require, "study")

Comparison = Literal["curve", "weight", "augment", "positives", "corpora"]

#: Changes that hide what a movie's clips share: palette, grade, framing, timbre.
STRONG = AugmentConfig(
    crop_area=0.5,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.5,
    grayscale=0.2,
    gain_db=6.0,
    equaliser_db=12.0,
    mel_mask=0.2,
    time_mask=0.1,
)
#: Nothing is changed, but for where the square lies in the frame: the shortcut is wide open.
NONE = AugmentConfig(
    flip=False,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    gain_db=0.0,
    mel_mask=0.0,
    time_mask=0.0,
)
AUGMENTS = {"none": NONE, "strong": STRONG}


@dataclass(frozen=True, kw_only=True)
class StudyCorpus:
    """A corpus of the study, as shards."""

    name: str
    """What sets it apart, in a few words."""
    data: str
    """URI of the dataset."""
    labels: Path | None = None
    """CSV of what is shown when; see `trainer/labels.py`. Without it there are no class probes."""

    @property
    def slug(self) -> str:
        """The name as part of a path."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "corpus"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a run is like, its seed aside."""

    corpus: str
    """Name of the corpus."""
    clips_per_movie: int
    within_weight: float = 1.0
    augment: str = "none"
    """A key of `AUGMENTS`."""
    positives: Literal["clip", "movie"] = "clip"

    def describe(self) -> str:
        """In a few words, the corpus aside."""
        words = [f"k = {self.clips_per_movie}"]
        words += [f"weight {self.within_weight:g}"] * (self.within_weight != 1)
        words += [f"{self.augment} augmentation"] * (self.augment != "none")
        words += ["positives from the movie"] * (self.positives == "movie")
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run."""

    setting: Setting
    seed: int


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Which runs are compared, and how long they are; all else is the recipe's."""

    clips_per_movie: tuple[int, ...] = (1, 4, 16, 64)
    """Values of k; each divides the batch size."""
    batch_size: int = 64
    """Clips in every batch, whatever k: k = 1 needs as many training movies."""
    steps: int = 600
    """Optimizer steps of each run."""
    seeds: int = 3
    """Runs of each setting: seeds 0, 1, ..."""
    comparisons: tuple[Comparison, ...] = ("curve", "weight", "augment", "positives", "corpora")
    """What is compared."""
    weight: float = 8.0
    """Within-movie weight of `weight`."""
    middle_clips: int = 4
    """k of `weight` and `positives`; at least 2."""
    workers: int = 0
    """Runs side by side; 0 for one a CPU core, or one in all with a GPU."""

    def __post_init__(self) -> None:
        ks = self.clips_per_movie
        odd = [k for k in (*ks, self.middle_clips) if k < 1 or self.batch_size % k]
        _require(not odd, f"clips per movie {odd} must divide {self.batch_size = }")
        _require(len(set(ks)) >= 2, f"{self.clips_per_movie = }: two values at least")
        _require(self.middle_clips >= 2, f"{self.middle_clips = }: at least 2")
        _require(self.seeds >= 1, f"{self.seeds = }: at least 1")
        _require(self.steps >= 2, f"{self.steps = }: at least 2")
        _require(self.workers >= 0, f"{self.workers = }: at least 0")

    def settings(self, corpora: list[StudyCorpus]) -> list[Setting]:
        """Without repeats, the first comparison's first; the first corpus is the main one."""
        found = dict.fromkeys(
            setting for name in self.comparisons for setting in self._compared(name, corpora)
        )
        return list(found)

    def cells(self, corpora: list[StudyCorpus]) -> Iterator[Cell]:
        """Seed by seed: a study that is stopped early has whole comparisons."""
        for seed, setting in itertools.product(range(self.seeds), self.settings(corpora)):
            yield Cell(setting=setting, seed=seed)

    def _compared(self, name: Comparison, corpora: list[StudyCorpus]) -> list[Setting]:
        main = Setting(corpus=corpora[0].name, clips_per_movie=min(self.clips_per_movie))
        ends = [
            dataclasses.replace(main, clips_per_movie=k)
            for k in (min(self.clips_per_movie), max(self.clips_per_movie))
        ]
        middle = dataclasses.replace(main, clips_per_movie=self.middle_clips)
        if name == "curve":
            ks = sorted(set(self.clips_per_movie))
            return [dataclasses.replace(main, clips_per_movie=k) for k in ks]
        if name == "weight":
            return [middle, dataclasses.replace(middle, within_weight=self.weight)]
        if name == "augment":
            return [*ends, *(dataclasses.replace(one, augment="strong") for one in ends)]
        if name == "positives":
            return [middle, dataclasses.replace(middle, positives="movie")]
        return [dataclasses.replace(one, corpus=w.name) for w in corpora for one in ends]


def cell_config(recipe: TrainConfig, study: StudyConfig, cell: Cell) -> TrainConfig:
    """The settings of one run: the recipe, with what the study decides."""
    setting = cell.setting
    k = setting.clips_per_movie
    policy = dataclasses.replace(
        recipe.policy,
        movies_per_batch=study.batch_size // k,
        clips_per_movie=k,
        # Clip by clip from all over the movie: settings differ in k, not in how clips are mixed.
        reads_per_movie=k,
        schedule="",
    )
    warmup = min(recipe.optimizer.warmup_steps, study.steps // 2)
    return dataclasses.replace(
        recipe,
        steps=study.steps,
        seed=cell.seed,
        policy=policy,
        augment=AUGMENTS[setting.augment],
        loss=LossConfig(within_weight=setting.within_weight, positives=setting.positives),
        optimizer=dataclasses.replace(recipe.optimizer, warmup_steps=warmup),
        eval_every=0,
        log_every=max(1, study.steps // 40),
        checkpoint_every=max(1, study.steps // 4),
        tensorboard=False,
    )
