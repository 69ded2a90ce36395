"""Claims that a study tests, and which of them its numbers support or refute.

A claim is about one effect. `above`: it is positive. `not above`: it is not; no number of runs
proves that, so such a claim is refuted or it is left open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from trainer.study.config import StudyConfig
from trainer.study.findings.effects import Names
from trainer.study.findings.intervals import Interval
from trainer.study.findings.summary import FIGURES, Effect, Summary

Outcome = Literal["supported", "refuted", "open"]

TITLES = {figure.key: figure.title for figure in FIGURES}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim with its outcome."""

    text: str
    outcome: str
    """`supported`, `refuted`, `open`; or by modality where they differ."""
    evidence: str
    """The effect and its sizes."""


def claims(summary: Summary, config: StudyConfig, keys: tuple[str, ...]) -> list[Claim]:
    """The claims about effects that were measured.

    Args:
        keys: of `FIGURES`: those that claims are judged by, one per modality or direction.
    """
    by_name = {effect.name: effect for effect in summary.effects}
    return [
        _claim(text, expected, by_name[name], keys)
        for text, expected, name in _tested(Names.of(config))
        if name in by_name and all(key in by_name[name].differences for key in keys)
    ]


def sizes(effect: Effect, keys: tuple[str, ...]) -> str:
    """The differences by modality or direction."""
    return ", ".join(
        f"{TITLES[key].split(', ')[-1]} {effect.differences[key].text(sign=True)}" for key in keys
    )


def _tested(names: Names) -> Iterator[tuple[str, Literal["above", "not above"], str]]:
    """Claim, expectation, name of the effect."""
    low, large = names.low, names.large
    yield "Negatives from the same movie help, in the same batches.", "above", names.negatives
    yield (
        f"The whole difference between k = {low} and k = {large} is due to these negatives.",
        "not above",
        names.batches,
    )
    text = f"Training at k = {low} is better than not training."
    yield text, "above", names.trained_low
    text = f"Training at k = {large} is better than not training."
    yield text, "above", names.trained_large
    text = f"Training at k = {large} is better than mean color and mean log-mel."
    yield text, "above", names.statistics
    text = f"At k = {low}, it helps to weight up hard negatives."
    yield text, "above", names.hard_low
    text = f"With hard negatives weighted up, k = {low} replaces k = {large}."
    yield text, "not above", names.beyond_hard
    yield (
        "The effect of the negatives is one of batch normalization: it is absent with group norm.",
        "not above",
        names.group_negatives,
    )
    text = "With strong augmentation of look and audio, more clips per movie do not help."
    yield text, "not above", names.strong


def _claim(
    text: str, expected: Literal["above", "not above"], effect: Effect, keys: tuple[str, ...]
) -> Claim:
    outcomes = {key: _outcome(effect.differences[key], expected) for key in keys}
    outcome: str = outcomes[keys[0]]
    if len(set(outcomes.values())) > 1:
        outcome = ", ".join(f"{TITLES[key].split(', ')[-1]} {outcomes[key]}" for key in keys)
    evidence = f"{effect.name}: {sizes(effect, keys)}"
    return Claim(text=text, outcome=outcome, evidence=evidence)


def _outcome(interval: Interval, expected: Literal["above", "not above"]) -> Outcome:
    if expected == "not above":
        return "refuted" if interval.is_above else "open"
    if interval.is_above:
        return "supported"
    return "refuted" if interval.is_below else "open"
