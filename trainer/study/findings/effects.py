"""Which settings a study compares with which, by name.

The settings of a pair differ in one thing, unless the name says otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from trainer.study.config import NO_WEIGHT, POSITIVES, Setting, StudyConfig, StudyCorpus

#: Name, baseline, changed setting.
Pair = tuple[str, Setting, Setting]


@dataclasses.dataclass(frozen=True)
class Names:
    """The names of the effects that claims refer to."""

    low: int
    large: int

    @staticmethod
    def of(config: StudyConfig) -> Names:
        """For the values of k of a study."""
        ks = config.clips_per_movie
        return Names(min(ks), config.large_clips)

    @property
    def negatives(self) -> str:
        """Only the negatives change."""
        return f"negatives from the same movie at k = {self.large}, in the same batches"

    @property
    def batches(self) -> str:
        """Only the batches change."""
        return f"k = {self.large} without its within-movie negatives, instead of k = {self.low}"

    @property
    def trained_low(self) -> str:
        """Training at the smallest k."""
        return f"training at k = {self.low}, instead of none"

    @property
    def trained_large(self) -> str:
        """Training at the large k."""
        return f"training at k = {self.large}, instead of none"

    @property
    def statistics(self) -> str:
        """Training at the large k, against no network."""
        return f"training at k = {self.large}, instead of mean color and mean log-mel"

    @property
    def hard_low(self) -> str:
        """Reweighting where there are no within-movie negatives."""
        return f"hard negatives weighted up at k = {self.low}"

    @property
    def beyond_hard(self) -> str:
        """The large k against reweighting at the smallest."""
        return f"k = {self.large}, instead of hard negatives weighted up at k = {self.low}"

    @property
    def group_negatives(self) -> str:
        """As `negatives`, with normalization by clip."""
        return f"{self.negatives}, with group norm"

    @property
    def strong(self) -> str:
        """The large k against the smallest under strong augmentation."""
        return f"k = {self.large} instead of {self.low}, both with strong augmentation"


def compared(config: StudyConfig, corpora: list[StudyCorpus]) -> list[Pair]:
    """Effects by name: baseline and changed setting, whether they were run or not."""
    pairs = [*_on_main(config, corpora[0].name), *_on_others(config, corpora[1:])]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _on_main(config: StudyConfig, corpus: str) -> Iterator[Pair]:
    names = Names.of(config)
    low, large = (Setting(corpus=corpus, clips_per_movie=k) for k in (names.low, names.large))
    middle = dataclasses.replace(low, clips_per_movie=config.middle_clips)
    change = dataclasses.replace
    for k in sorted(set(config.clips_per_movie))[1:]:
        yield f"k = {k} instead of {names.low}", low, change(low, clips_per_movie=k)
    without = change(large, within_weight=NO_WEIGHT)
    yield names.negatives, without, large
    yield names.batches, low, without
    initial, statistics = change(low, source="initial"), change(low, source="statistics")
    yield names.trained_low, initial, low
    yield names.trained_large, initial, large
    yield names.statistics, statistics, large
    weight = config.weight
    name = f"within-movie weight {weight:g} at k = {middle.clips_per_movie}"
    yield name, middle, change(middle, within_weight=weight)
    name = f"positives from the movie at k = {middle.clips_per_movie}"
    yield name, middle, change(middle, positives="movie")
    near, far = change(large, positives="near"), change(large, positives="far")
    yield f"{POSITIVES['near']} at k = {names.large}", large, near
    yield f"{POSITIVES['far']} at k = {names.large}", large, far
    yield f"the farthest instead of the nearest as the positive at k = {names.large}", near, far
    for one in (low, large):
        name = f"strong augmentation at k = {one.clips_per_movie}"
        yield name, one, change(one, augment="strong")
    yield names.strong, change(low, augment="strong"), change(large, augment="strong")
    yield from _on_request(config, names, low, large)


def _on_request(config: StudyConfig, names: Names, low: Setting, large: Setting) -> Iterator[Pair]:
    change = dataclasses.replace
    hard_low, hard_large = (change(one, hardness=config.hardness) for one in (low, large))
    yield names.hard_low, low, hard_low
    yield f"hard negatives weighted up at k = {names.large}", large, hard_large
    yield names.beyond_hard, hard_low, large
    name = f"mass {config.mass:g} on within-movie negatives at k = {names.large}"
    yield name, large, change(large, within_mass=config.mass)
    group_low, group_large = change(low, norm="group"), change(large, norm="group")
    group_without = change(group_large, within_weight=NO_WEIGHT)
    yield names.group_negatives, group_without, group_large
    yield f"{names.batches}, with group norm", group_low, group_without
    initial = change(group_low, source="initial")
    yield f"{names.trained_low}, with group norm", initial, group_low
    yield f"group norm instead of batch norm at k = {names.large}", large, group_large


def _on_others(config: StudyConfig, corpora: list[StudyCorpus]) -> Iterator[Pair]:
    low, high = min(config.clips_per_movie), max(config.clips_per_movie)
    for corpus in corpora:
        one, all_ = (Setting(corpus=corpus.name, clips_per_movie=k) for k in (low, high))
        yield f"k = {high} instead of {low}, {corpus.name}", one, all_
