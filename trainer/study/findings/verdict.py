"""The findings in words, from the numbers alone: what a reader should take away, also if nothing or
the opposite was found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from trainer.study.config import Setting, StudyConfig, StudyCorpus
from trainer.study.findings.claims import TITLES, Claim, claims, sizes
from trainer.study.findings.effects import Names
from trainer.study.findings.intervals import Interval
from trainer.study.findings.summary import Effect, Row, Summary

#: Keys of `FIGURES` that findings are judged by: the first ones that all settings have.
JUDGES = (
    ("seen_video", "heard_audio"),
    ("class_video", "class_audio"),
    ("within_v2a", "within_a2v"),
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The findings in sentences."""

    headline: str
    points: list[str]
    """What supports, qualifies or contradicts the headline: the curve over k."""
    claims: list[Claim]
    """What was tested, and what of it is supported or refuted."""
    effects: dict[str, list[str]]
    """What other changes do, with effect sizes: `better`, `unclear or mixed`, `worse`."""
    caveats: list[str]
    """Limitations of the numbers."""
    best: Setting | None
    """The setting of the curve that did best, by `judged_by`; None without a curve over k."""
    judged_by: tuple[str, ...]
    """Keys of `FIGURES`: the class probes, or without labels the within-movie retrieval."""


def verdict(summary: Summary, config: StudyConfig, corpora: list[StudyCorpus]) -> Verdict:
    """Interpret the summary of a study, with or without the curve over k."""
    curve = curve_rows(summary, config, corpora)
    keys = next(
        (
            keys
            for keys in JUDGES
            if all(key in row.figures for row in curve or summary.rows for key in keys)
        ),
        JUDGES[-1],
    )
    if len(curve) < 2:
        return Verdict(
            headline=_headline_of_effects(summary, keys),
            points=[],
            claims=claims(summary, config, keys),
            effects=_sorted_effects(summary, keys),
            caveats=_caveats(config, corpora, None, keys),
            best=None,
            judged_by=keys,
        )
    base, best = curve[0], max(curve[1:], key=lambda row: _mean(row, keys))
    effect = next(
        e for e in summary.effects if e.baseline == base.setting and e.changed == best.setting
    )
    control = next((e for e in summary.effects if e.name == Names.of(config).negatives), None)
    if control is None or not all(key in control.differences for key in keys):
        headline = _headline(effect, base, best, keys)
    else:
        headline = _headline_of_control(summary, control, base, keys)
    return Verdict(
        headline=headline,
        points=[*_curve_points(curve, keys), *_control_points(summary, control, keys)],
        claims=claims(summary, config, keys),
        effects=_sorted_effects(summary, keys),
        caveats=_caveats(config, corpora, best, keys),
        best=best.setting,
        judged_by=keys,
    )


def curve_rows(summary: Summary, config: StudyConfig, corpora: list[StudyCorpus]) -> list[Row]:
    """The settings of the curve that were run, by k."""
    settings = [
        Setting(corpus=corpora[0].name, clips_per_movie=k)
        for k in sorted(set(config.clips_per_movie))
    ]
    return [row for setting in settings if (row := summary.row(setting))]


def judge_effect(interval: Interval) -> str:
    """`higher`, `lower`, or `not clearly different`."""
    if interval.is_above:
        return "higher"
    return "lower" if interval.is_below else "not clearly different"


def _headline_of_control(
    summary: Summary, control: Effect, base: Row, keys: tuple[str, ...]
) -> str:
    """The large k against the same batches without its negatives, and against no training."""
    without, large = summary.row(control.baseline), summary.row(control.changed)
    untrained = summary.row(dataclasses.replace(base.setting, source="initial"))
    assert without is not None
    assert large is not None
    figures = []
    for key in keys:
        values = [
            f"{large.figures[key].mean:.2f} at {large.setting.describe()}",
            f"{without.figures[key].mean:.2f} in the same batches without these negatives "
            f"(difference {control.differences[key].text(sign=True)})",
            f"{base.figures[key].mean:.2f} at {base.setting.describe()}",
        ]
        if untrained is not None and key in untrained.figures:
            values.append(f"{untrained.figures[key].mean:.2f} without training")
        figures.append(f"{_title(key)}: {', '.join(values)}; chance {large.chance[key]:.2f}.")
    judged = [judge_effect(control.differences[key]) for key in keys]
    words = _words("Negatives from the same movie", judged)
    return f"{words} These are results on movies that no model saw in training. {' '.join(figures)}"


def _headline(effect: Effect, base: Row, best: Row, keys: tuple[str, ...]) -> str:
    """The best k against the smallest, without a control for the batches."""
    k, low = best.setting.clips_per_movie, base.setting.clips_per_movie
    figures = " ".join(
        f"{_title(key)}: {base.figures[key].mean:.2f} at k = {low}, "
        f"{best.figures[key].mean:.2f} at k = {k} (difference "
        f"{effect.differences[key].text(sign=True)}; chance {best.chance[key]:.2f})."
        for key in keys
    )
    judged = [judge_effect(effect.differences[key]) for key in keys]
    words = _words("More clips from each movie", judged)
    return (
        f"{words} These are results on movies that no model saw in training. {figures} This "
        "includes what the batches change: there are fewer movies in each; the comparison "
        "`negatives` separates both."
    )


def _title(key: str) -> str:
    """At the beginning of a sentence."""
    return TITLES[key][:1].upper() + TITLES[key][1:]


def _words(subject: str, judged: list[str]) -> str:
    if set(judged) == {"not clearly different"}:
        return f"{subject} made no clear difference."
    if set(judged) == {"higher"}:
        return f"{subject} made the models learn more of what is shown, in both modalities."
    if set(judged) == {"lower"}:
        return f"{subject} did harm, in both modalities."
    return f"{subject} have an effect in one modality only, or one that differs between them."


def _headline_of_effects(summary: Summary, keys: tuple[str, ...]) -> str:
    """Without the curve over k: what was compared, and what it changed."""
    effects = [
        f"{effect.name}: {sizes(effect, keys)}"
        for effect in summary.effects
        if all(key in effect.differences for key in keys)
    ]
    kind = TITLES[keys[0]].split(",")[0]
    if not effects:
        return "No setting was run together with its baseline: nothing can be compared."
    return f"Changes of {kind} on movies that no model saw in training: {'; '.join(effects)}."


def _control_points(summary: Summary, control: Effect | None, keys: tuple[str, ...]) -> list[str]:
    """How much of the effect of k is due to its negatives."""
    if control is None:
        return []
    k = control.changed.clips_per_movie
    batches = next((e for e in summary.effects if e.changed == control.baseline), None)
    if batches is None or not all(key in batches.differences for key in keys):
        return []
    low = batches.baseline.clips_per_movie
    return [
        f"A larger k also means fewer movies in a batch. Of the difference between k = {low} and "
        f"k = {k}, the batches alone give {sizes(batches, keys)}, and the negatives the rest: "
        f"{sizes(control, keys)}."
    ]


def _curve_points(curve: list[Row], keys: tuple[str, ...]) -> list[str]:
    base, last = curve[0], curve[-1]
    points = []
    means = [_mean(row, keys) for row in curve]
    steps = ", ".join(
        f"k = {row.setting.clips_per_movie}: {mean:.2f}"
        for row, mean in zip(curve, means, strict=True)
    )
    shape = "grows" if means == sorted(means) else "does not grow"
    points.append(f"Over k, the mean of the two numbers {shape} at every step: {steps}.")
    if all("movie_video" in row.figures for row in curve):
        points.append(
            "How well the movie can be identified from the features (movie probe; look and score, "
            f"not meaning) went from {base.figures['movie_video'].mean:.2f} to "
            f"{last.figures['movie_video'].mean:.2f} for video and from "
            f"{base.figures['movie_audio'].mean:.2f} to {last.figures['movie_audio'].mean:.2f} for "
            f"audio, from k = {base.setting.clips_per_movie} to {last.setting.clips_per_movie}."
        )
    best = max(curve, key=lambda row: _mean(row, keys))
    losses = {row.setting: row.loss.mean for row in curve if row.loss}
    lowest = min(curve, key=lambda row: losses[row.setting])
    if lowest.setting != best.setting:
        points.append(
            f"The lowest loss ({losses[lowest.setting]:.2f} nats) belongs to "
            f"k = {lowest.setting.clips_per_movie}, not to the models that learned most "
            f"(k = {best.setting.clips_per_movie}, {losses[best.setting]:.2f} nats): the loss does "
            "not measure what was learned."
        )
    return points


def _sorted_effects(summary: Summary, keys: tuple[str, ...]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {"better": [], "unclear or mixed": [], "worse": []}
    for effect in summary.effects:
        if not all(key in effect.differences for key in keys):
            continue
        intervals = [effect.differences[key] for key in keys]
        name = "unclear or mixed"
        if all(interval.is_above for interval in intervals):
            name = "better"
        elif all(interval.is_below for interval in intervals):
            name = "worse"
        groups[name].append(f"{effect.name}: {sizes(effect, keys)}")
    return groups


def _caveats(
    config: StudyConfig, corpora: list[StudyCorpus], best: Row | None, keys: tuple[str, ...]
) -> list[str]:
    caveats = [
        f"Intervals are 95 % over {config.seeds} seeds. {_seeds(config)} Those marked `movies` are "
        "by bootstrap over seeds and held-out movies. An effect is called clear if both intervals "
        "exclude zero.",
        f"All runs have {config.steps} steps: settings that learn slowly may not have converged.",
    ]
    if best is not None:
        caveats.insert(
            1,
            f"k = {best.setting.clips_per_movie} is called best because it did best here, on the "
            "movies that also provide its number; the table has all of them.",
        )
    if len(corpora) > 1 or "class_video" in keys:
        caveats.append(
            "Synthetic movies show that the effect exists and when; how large it is for real "
            "movies is a separate question, which the same commands can answer."
        )
    return caveats


def _seeds(config: StudyConfig) -> str:
    """What differs between the seeds of a study."""
    if config.folds and not config.validation:
        return (
            f"Each seed has other initial weights, batches and held-out movies: one of the sets of "
            f"1/{config.folds} of the movies, in turn."
        )
    return (
        "Each seed has other initial weights and batches on the same movies: no interval covers "
        "other training movies."
    )


def _mean(row: Row, keys: tuple[str, ...]) -> float:
    return sum(row.figures[key].mean for key in keys) / len(keys)
