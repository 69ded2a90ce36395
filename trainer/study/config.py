"""Which runs a study compares.

    baselines    what needs no training: initial weights, and the mean color and mean log-mel
    curve        k clips per movie in a batch, from one to all, at a fixed batch size
    negatives    a large k with and without within-movie negatives, in the same batches: a larger
                 k also means fewer movies in a batch and in its batch statistics
    weight       the same batches with a larger weight on within-movie negatives

These are compared only on request:

    augment      smallest and a large k with augmentation that hides look and score, and without
    positives    other clips of the movie as positives: all, the nearest, the farthest
    corpora      smallest and largest k on other corpora
    hard         negatives weighted by their similarity, at the smallest and a large k: does that
                 find within-movie negatives by itself?
    norm         the curve's ends of `negatives` with group normalization, which sees no other clips
    mass         a large k with a fixed share of the softmax on within-movie negatives

A run that several comparisons share is made once.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from shards_spec.errors import require
from trainer.settings import AugmentConfig, Positives
from trainer.settings.model import Normalization

Comparison = Literal[
    "baselines", "curve", "negatives", "weight", "augment", "positives", "corpora",
    "hard", "norm", "mass",
]  # fmt: skip

#: What is compared by default: what fits into 40 minutes on two cores.
DEFAULT: tuple[Comparison, ...] = get_args(Comparison)[:4]

#: Where features come from: a trained network, its initial weights, or plain statistics of a clip.
Source = Literal["training", "initial", "statistics"]

_require = partial(require, "study")

#: Augmentation that hides what the clips of a movie share: palette, grading, framing, timbre.
STRONG = AugmentConfig(
    crop_area=0.5,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.5,
    grayscale=0.2,
    gain_db=6.0,
    equalizer_db=12.0,
    mel_mask=0.2,
    time_mask=0.1,
)
#: No augmentation except the position of the crop: nothing hides what a movie's clips share.
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

#: What the positive is, in a few words.
POSITIVES: dict[Positives, str] = {
    "clip": "the clip itself as the positive",
    "movie": "positives from the movie",
    "near": "the nearest other clip as the positive",
    "far": "the farthest other clip as the positive",
}


#: Within-movie weight of a run without within-movie negatives: the loss needs a positive one.
NO_WEIGHT = 1e-9


@dataclass(frozen=True, kw_only=True)
class StudyCorpus:
    """A corpus of the study, as shards."""

    name: str
    """What distinguishes it, in a few words."""
    data: str
    """URI of the dataset."""
    labels: Path | None = None
    """CSV of labeled ranges; see `trainer/runs/scoring/labels.py`. The class probe needs it."""
    seen: Path | None = None
    """The same for what is seen, where a clip may have several labels: for the video encoder."""
    heard: Path | None = None
    """The same for what is heard, for the audio encoder."""

    @property
    def tags(self) -> dict[str, Path]:
        """By modality: the tables of which a clip may have several labels."""
        tables = {"video": self.seen, "audio": self.heard}
        return {modality: table for modality, table in tables.items() if table}

    @property
    def slug(self) -> str:
        """The name as part of a path."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "corpus"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The settings of a run that a study varies, apart from its seed."""

    corpus: str
    """Name of the corpus."""
    clips_per_movie: int
    within_weight: float = 1.0
    within_mass: float = 0.0
    """As `LossConfig.within_mass`; 0 keeps the weight constant."""
    hardness: float = 0.0
    """As `LossConfig.hardness`; 0 weights all negatives alike, which is InfoNCE."""
    norm: Normalization = "batch"
    """As `ModelConfig.small_norm`."""
    source: Source = "training"
    """Without training, k and everything above has no effect, except for the norm."""
    augment: str = "none"
    """A key of `AUGMENTS`."""
    positives: Positives = "clip"
    """As `LossConfig.positives`."""

    def describe(self) -> str:
        """In a few words, without the corpus."""
        if self.source == "statistics":
            return "no network: mean color, mean log-mel"
        if self.source == "initial":
            return "untrained network" + (", group norm" if self.norm == "group" else "")
        words = [f"k = {self.clips_per_movie}"]
        if self.within_weight == NO_WEIGHT:
            words.append("no within-movie negatives")
        elif self.within_weight != 1:
            words.append(f"weight {self.within_weight:g}")
        if self.within_mass:
            words.append(f"mass {self.within_mass:g}")
        if self.hardness:
            words.append(f"hard negatives {self.hardness:g}")
        if self.norm == "group":
            words.append("group norm")
        if self.augment != "none":
            words.append(f"{self.augment} augmentation")
        if self.positives != "clip":
            words.append(POSITIVES[self.positives])
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run."""

    setting: Setting
    seed: int


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Which runs are compared, and how long they are; everything else comes from the recipe."""

    clips_per_movie: tuple[int, ...] = (1, 4, 16, 64)
    """Values of k; each divides the batch size."""
    batch_size: int = 64
    """Clips in every batch, for every k: k = 1 needs as many training movies."""
    steps: int = 600
    """Optimizer steps of each run."""
    seeds: int = 3
    """Runs of each setting: seeds 0, 1, ..."""
    comparisons: tuple[Comparison, ...] = DEFAULT
    """What is compared. `corpora` needs other corpora."""
    hardness: float = 1.0
    """Of the comparison `hard`: a negative's weight grows with e to this times its logit."""
    mass: float = 0.5
    """Share of the softmax in the comparison `mass`."""
    weight: float = 8.0
    """Within-movie weight in the comparison `weight`."""
    middle_clips: int = 4
    """k in the comparison `weight`, and for all other clips in `positives`; at least 2."""
    folds: int = 0
    """Disjoint sets of movies, one of which each run holds out; the last set is kept for
    `validation`, and seeds take turns over the others. 0: all seeds hold out the recipe's share."""
    validation: bool = False
    """Hold out the last set, on which settings may be chosen."""
    every_fold: bool = False
    """Seeds take turns over all sets: none is kept for validation, so choose settings before."""
    workers: int = 0
    """Concurrent runs; 0 for one per CPU core, or a single one with a GPU."""

    def __post_init__(self) -> None:
        ks = self.clips_per_movie
        invalid = [str(k) for k in (*ks, self.middle_clips) if k < 1 or self.batch_size % k]
        _require(
            not invalid,
            f"clips-per-movie {', '.join(invalid)} must divide batch-size = {self.batch_size}",
        )
        _require(len(set(ks)) >= 2, f"clips-per-movie = {ks}: needs at least two values")
        _require(self.middle_clips >= 2, f"middle-clips = {self.middle_clips}: must be at least 2")
        _require(self.seeds >= 1, f"seeds = {self.seeds}: must be at least 1")
        _require(self.steps >= 2, f"steps = {self.steps}: must be at least 2")
        _require(self.folds == 0 or self.folds >= 3, f"folds = {self.folds}: must be 0 or from 3")
        _require(self.folds > 0 or not self.validation, "validation needs folds")
        _require(self.folds > 0 or not self.every_fold, "every-fold needs folds")
        _require(
            not (self.validation and self.every_fold),
            "validation and every-fold: with every-fold, no set is kept for validation",
        )
        _require(self.workers >= 0, f"workers = {self.workers}: must be at least 0")
        _require(
            bool(set(self.comparisons) - {"baselines"}),
            "comparisons: needs at least one besides baselines",
        )
        _require(0 < self.hardness < math.inf, f"hardness = {self.hardness:g}: must be above 0")
        _require(0 < self.mass < 1, f"mass = {self.mass:g}: must be in (0, 1)")
        controls = {"baselines", "negatives", "norm", "mass"}
        _require(
            not controls.issuperset(self.comparisons) or self.large_clips > 1,
            f"comparisons {', '.join(self.comparisons)}: need a k from 2 to "
            f"{self.batch_size // 2} in clips-per-movie = {ks}",
        )

    @property
    def large_clips(self) -> int:
        """k in all comparisons that do not say another: the largest that leaves two movies to a
        batch; with 1 there are no negatives from the same movie, and nothing is compared."""
        return max((k for k in self.clips_per_movie if 2 * k <= self.batch_size), default=1)

    def fold(self, seed: int) -> int:
        """The set of movies that a seed holds out."""
        if self.validation:
            return self.folds - 1
        return seed % (self.folds if self.every_fold else self.folds - 1)

    def settings(self, corpora: list[StudyCorpus]) -> list[Setting]:
        """Without repeats, in the order of the comparisons; the first corpus is the main one."""
        settings = dict.fromkeys(
            setting for name in self.comparisons for setting in self._compared(name, corpora)
        )
        return list(settings)

    def cells(self, corpora: list[StudyCorpus]) -> Iterator[Cell]:
        """Seed by seed: a study that is stopped early has complete comparisons."""
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
        if name == "baselines":
            sources: tuple[Source, ...] = ("statistics", "initial")
            return [dataclasses.replace(main, source=source) for source in sources]
        if name in ("negatives", "hard", "norm", "mass", "augment"):
            return self._compared_at_large(name, main)
        if name == "weight":
            return [middle, dataclasses.replace(middle, within_weight=self.weight)]
        if name == "positives":
            of_movie = dataclasses.replace(middle, positives="movie")
            return [middle, of_movie, *self._compared_at_large(name, main)]
        return [dataclasses.replace(end, corpus=c.name) for c in corpora for end in ends]

    def _compared_at_large(self, name: Comparison, one: Setting) -> list[Setting]:
        if self.large_clips == 1:
            return [one, dataclasses.replace(one, hardness=self.hardness)] if name == "hard" else []
        large = dataclasses.replace(one, clips_per_movie=self.large_clips)
        without = dataclasses.replace(large, within_weight=NO_WEIGHT)
        if name == "negatives":
            return [without, large]
        if name == "mass":
            return [large, dataclasses.replace(large, within_mass=self.mass)]
        if name == "norm":
            compared = (dataclasses.replace(one, source="initial"), one, without, large)
            return [dataclasses.replace(setting, norm="group") for setting in compared]
        if name == "positives":
            ends: tuple[Positives, ...] = ("near", "far")
            return [large, *(dataclasses.replace(large, positives=end) for end in ends)]
        if name == "augment":
            strong = (dataclasses.replace(setting, augment="strong") for setting in (one, large))
            return [one, large, *strong]
        hard = (dataclasses.replace(setting, hardness=self.hardness) for setting in (one, large))
        return [one, large, *hard]
