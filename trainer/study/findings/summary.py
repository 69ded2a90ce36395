"""Results over seeds: means with intervals, and the effect of each setting against its baseline.

Effects are paired by seed, because runs of a seed start from the same weights; their intervals also
cover other held-out movies (`intervals.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trainer.study.by_movie import bootstrap
from trainer.study.cells import CellResult
from trainer.study.config import Setting, StudyConfig, StudyCorpus
from trainer.study.findings.effects import compared
from trainer.study.findings.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number of an evaluation."""

    key: str
    title: str
    kind: str
    """`tag_probe`, `class_probe`, `movie_probe` or `retrieval`."""
    which: tuple[str, ...]
    """Modality; or direction and gallery."""


FIGURES = (
    Figure(
        key="seen_video", title="seen or heard (mAP), video", kind="tag_probe", which=("video",)
    ),
    Figure(
        key="heard_audio", title="seen or heard (mAP), audio", kind="tag_probe", which=("audio",)
    ),
    Figure(key="class_video", title="class probe, video", kind="class_probe", which=("video",)),
    Figure(key="class_audio", title="class probe, audio", kind="class_probe", which=("audio",)),
    Figure(key="movie_video", title="movie probe, video", kind="movie_probe", which=("video",)),
    Figure(key="movie_audio", title="movie probe, audio", kind="movie_probe", which=("audio",)),
    Figure(
        key="within_v2a",
        title="within-movie R@1, video to audio",
        kind="retrieval",
        which=("video_to_audio", "within_movie"),
    ),
    Figure(
        key="within_a2v",
        title="within-movie R@1, audio to video",
        kind="retrieval",
        which=("audio_to_video", "within_movie"),
    ),
    Figure(
        key="global_v2a",
        title="R@1 among all, video to audio",
        kind="retrieval",
        which=("video_to_audio", "global"),
    ),
    Figure(
        key="global_a2v",
        title="R@1 among all, audio to video",
        kind="retrieval",
        which=("audio_to_video", "global"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A setting, over its seeds."""

    setting: Setting
    num_seeds: int
    figures: dict[str, Interval]
    """By key of `FIGURES`; those that were measured."""
    chance: dict[str, float]
    """By the same keys."""
    loss: Interval | None
    """Training loss at the end, nats: the mean of the last quarter's lines; None without training.
    """


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a change of one setting does to each figure."""

    name: str
    baseline: Setting
    changed: Setting
    differences: dict[str, Interval]
    """By key of `FIGURES`: changed minus baseline, paired by seed."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All settings and effects."""

    rows: list[Row]
    effects: list[Effect]

    def row(self, setting: Setting) -> Row | None:
        """The row of a setting, if it was run."""
        return next((row for row in self.rows if row.setting == setting), None)

    @property
    def measured(self) -> list[Figure]:
        """The figures that any setting has."""
        return [figure for figure in FIGURES if any(figure.key in r.figures for r in self.rows)]

    @property
    def most_complete_row(self) -> Row:
        """The first of the rows with the most figures; statistics, for instance, have fewer."""
        return max(self.rows, key=lambda row: len(row.figures))

    def to_json(self) -> dict[str, Any]:
        """JSON values; intervals that do not exist are null."""
        values = {
            "rows": [asdict(r) for r in self.rows],
            "effects": [asdict(e) for e in self.effects],
        }
        plain: dict[str, Any] = _without_nan(values)
        return plain

    def to_markdown(self) -> str:
        """A table of all settings and a table of effects."""
        head = ["corpus", "setting", "seeds", "loss", *(figure.title for figure in self.measured)]
        lines = [_line(head), _line(["---"] * len(head))]
        for row in self.rows:
            cells = [_cell(row.figures.get(figure.key)) for figure in self.measured]
            lines.append(
                _line(
                    [
                        *(row.setting.corpus, row.setting.describe(), str(row.num_seeds)),
                        *(_cell(row.loss), *cells),
                    ]
                )
            )
        first = self.most_complete_row
        chances = [first.chance.get(figure.key) for figure in self.measured]
        lines.append(
            _line(
                [
                    first.setting.corpus,
                    "chance",
                    "",
                    "",
                    *(f"{c:.3f}" if c else "-" for c in chances),
                ]
            )
        )
        lines += [
            "",
            "Effects, paired by seed: the mean, its interval over seeds, and over seeds and "
            "held-out movies:",
            "",
        ]
        head = ["effect", *(figure.title for figure in self.measured)]
        lines += [_line(head), _line(["---"] * len(head))]
        for effect in self.effects:
            cells = [
                _cell(effect.differences.get(figure.key), sign=True) for figure in self.measured
            ]
            lines.append(_line([effect.name, *cells]))
        return "\n".join(lines)


def summarize(
    config: StudyConfig, corpora: list[StudyCorpus], results: list[CellResult]
) -> Summary:
    """Means over seeds and effects of all settings that were run."""
    by_setting: dict[Setting, list[CellResult]] = {}
    for result in results:
        by_setting.setdefault(result.cell.setting, []).append(result)
    return Summary(
        rows=[_row(setting, group) for setting, group in by_setting.items()],
        effects=[
            _effect(name, by_setting[baseline], by_setting[changed])
            for name, baseline, changed in compared(config, corpora)
            if baseline in by_setting and changed in by_setting
        ],
    )


def figure_value(
    evaluation: dict[str, Any], figure: Figure, *, chance: bool = False
) -> float | None:
    """A number of an evaluation's JSON; None if it was not measured."""
    if figure.kind == "tag_probe":
        # Results from before there were tags have none.
        tags = evaluation.get("tag_probe", {}).get(figure.which[0])
        return tags and float(tags["chance" if chance else "mean_average_precision"])
    if figure.kind != "retrieval":
        probe = evaluation[figure.kind].get(figure.which[0])
        return None if probe is None else float(probe["chance" if chance else "accuracy"])
    for result in evaluation["retrieval"]["results"]:
        if (result["direction"], result["gallery"]) == figure.which:
            return float(result["chance_over_clips" if chance else "over_clips"]["r1"])
    return None


def _row(setting: Setting, results: list[CellResult]) -> Row:
    figures, chance = {}, {}
    for figure in FIGURES:
        values = [figure_value(result.evaluation, figure) for result in results]
        known = [value for value in values if value is not None]
        if known:
            figures[figure.key] = Interval.of(known)
            chance[figure.key] = figure_value(results[0].evaluation, figure, chance=True) or 0.0
    losses = [_final_loss(result) for result in results if result.curves]
    return Row(
        setting=setting,
        num_seeds=len(results),
        figures=figures,
        chance=chance,
        loss=Interval.of(losses) if losses else None,
    )


def _final_loss(result: CellResult) -> float:
    losses = [value for value in result.curves["train/loss"] if value is not None]
    last = losses[-max(1, len(losses) // 4) :]
    return sum(last) / len(last)


def _effect(name: str, baseline: list[CellResult], changed: list[CellResult]) -> Effect:
    of_seed = {result.cell.seed: result for result in baseline}
    pairs = [(of_seed[r.cell.seed], r) for r in changed if r.cell.seed in of_seed]
    differences = {}
    for figure in FIGURES:
        values = [
            (figure_value(a.evaluation, figure), figure_value(b.evaluation, figure))
            for a, b in pairs
        ]
        known = [b - a for a, b in values if a is not None and b is not None]
        if known:
            scores = [
                (a.by_movie[figure.key], b.by_movie[figure.key])
                for a, b in pairs
                if figure.key in a.by_movie and figure.key in b.by_movie
            ]
            differences[figure.key] = Interval.of(known, bootstrap(scores) if scores else None)
    return Effect(
        name=name,
        baseline=baseline[0].cell.setting,
        changed=changed[0].cell.setting,
        differences=differences,
    )


def _cell(interval: Interval | None, *, sign: bool = False) -> str:
    return "-" if interval is None else interval.text(sign=sign)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
