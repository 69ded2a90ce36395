"""The findings in words, from the figures alone: what a reader should take away, also where nothing
or the opposite was found."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.study.config import Setting, StudyConfig, StudyCorpus
from trainer.study.summary import FIGURES, Effect, Interval, Row, Summary

TITLES = {figure.key: figure.title for figure in FIGURES}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came out, in sentences."""

    headline: str
    points: list[str]
    """What supports, bounds or contradicts the headline: the curve over k."""
    effects: dict[str, list[str]]
    """What other changes do, with effect sizes: `better`, `unclear or mixed`, `worse`."""
    caveats: list[str]
    """How far the figures carry."""
    best: Setting
    """The setting of the curve that did best, by `judged_by`."""
    judged_by: tuple[str, ...]
    """Keys of `FIGURES`: the class probes, or without labels the within-movie retrieval."""


def verdict(summary: Summary, config: StudyConfig, corpora: list[StudyCorpus]) -> Verdict:
    """Read the summary of a study that has the curve over k."""
    curve = curve_rows(summary, config, corpora)
    keys = ("class_video", "class_audio")
    if not all(key in row.figures for row in curve for key in keys):
        keys = ("within_v2a", "within_a2v")
    base, best = curve[0], max(curve[1:], key=lambda row: _mean(row, keys))
    effect = next(
        e for e in summary.effects if e.baseline == base.setting and e.changed == best.setting
    )
    return Verdict(
        headline=_headline(effect, base, best, keys),
        points=_curve_points(curve, keys),
        effects=_sorted_effects(summary, keys),
        caveats=_caveats(config, corpora, best, keys),
        best=best.setting,
        judged_by=keys,
    )


def curve_rows(summary: Summary, config: StudyConfig, corpora: list[StudyCorpus]) -> list[Row]:
    """The settings of the curve, by k."""
    settings = [
        Setting(corpus=corpora[0].name, clips_per_movie=k)
        for k in sorted(set(config.clips_per_movie))
    ]
    return [row for setting in settings if (row := summary.row(setting))]


def judge_effect(interval: Interval) -> str:
    """`higher`, `lower`, or `not clearly different`."""
    if interval.low > 0:
        return "higher"
    return "lower" if interval.high < 0 else "not clearly different"


def _headline(effect: Effect, base: Row, best: Row, keys: tuple[str, ...]) -> str:
    found = [judge_effect(effect.differences[key]) for key in keys]
    k, low = best.setting.clips_per_movie, base.setting.clips_per_movie
    figures = "; ".join(
        f"{TITLES[key]}: {base.figures[key].mean:.2f} at k = {low}, "
        f"{best.figures[key].mean:.2f} at k = {k} (difference "
        f"{effect.differences[key].text(sign=True)}; chance {best.chance[key]:.2f})"
        for key in keys
    )
    words = {
        ("higher", "higher"): "Negatives from the same movie made the models learn meaning, in "
        "both modalities.",
        ("lower", "lower"): "Negatives from the same movie did harm, in both modalities.",
    }.get(
        (found[0], found[1]),
        "Negatives from the same movie made no clear difference."
        if set(found) == {"not clearly different"}
        else "The effect of negatives from the same movie shows in one modality only, or differs "
        "between them.",
    )
    return f"{words} On movies that no model saw in training, {figures}."


def _curve_points(curve: list[Row], keys: tuple[str, ...]) -> list[str]:
    base, last = curve[0], curve[-1]
    points = []
    means = [_mean(row, keys) for row in curve]
    steps = ", ".join(
        f"k = {row.setting.clips_per_movie}: {mean:.2f}"
        for row, mean in zip(curve, means, strict=True)
    )
    shape = "grows" if means == sorted(means) else "does not grow"
    points.append(f"Over k, the mean of the two figures {shape} at every step: {steps}.")
    if all("movie_video" in row.figures for row in curve):
        points.append(
            "How well a movie can be told from the features (movie probe; look and score, not "
            f"meaning) went from {base.figures['movie_video'].mean:.2f} to "
            f"{last.figures['movie_video'].mean:.2f} for video and from "
            f"{base.figures['movie_audio'].mean:.2f} to {last.figures['movie_audio'].mean:.2f} for "
            f"audio, from k = {base.setting.clips_per_movie} to {last.setting.clips_per_movie}."
        )
    best = max(curve, key=lambda row: _mean(row, keys))
    lowest = min(curve, key=lambda row: row.loss.mean)
    if lowest.setting != best.setting:
        points.append(
            f"The lowest loss ({lowest.loss.mean:.2f} nats) belongs to "
            f"k = {lowest.setting.clips_per_movie}, not to the models that learnt most "
            f"(k = {best.setting.clips_per_movie}, {best.loss.mean:.2f} nats): the loss does not "
            "say what was learnt."
        )
    return points


def _sorted_effects(summary: Summary, keys: tuple[str, ...]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {"better": [], "unclear or mixed": [], "worse": []}
    for effect in summary.effects:
        if not all(key in effect.differences for key in keys):
            continue
        found = [effect.differences[key] for key in keys]
        sizes = ", ".join(
            f"{TITLES[key].split(', ')[-1]} {one.text(sign=True)}"
            for key, one in zip(keys, found, strict=True)
        )
        name = "unclear or mixed"
        if all(one.low > 0 for one in found):
            name = "better"
        elif all(one.high < 0 for one in found):
            name = "worse"
        groups[name].append(f"{effect.name}: {sizes}")
    return groups


def _caveats(
    config: StudyConfig, corpora: list[StudyCorpus], best: Row, keys: tuple[str, ...]
) -> list[str]:
    caveats = [
        f"Intervals are 95 % over {config.seeds} seeds (other first weights and batches on the "
        "same movies); they do not cover other movies.",
        f"k = {best.setting.clips_per_movie} is called best because it did best here, on the "
        "movies that also give its figure; the table has all of them.",
        f"All runs have {config.steps} steps: settings that learn slowly may not be done.",
    ]
    if len(corpora) > 1 or "class_video" in keys:
        caveats.append(
            "Corpora of drawn movies show that the effect exists and when; how large it is on real "
            "films is another question, to be asked with the same commands."
        )
    return caveats


def _mean(row: Row, keys: tuple[str, ...]) -> float:
    return sum(row.figures[key].mean for key in keys) / len(keys)
