"""The figures of `judged.md`, of a file that `benchmarks.transfer.judged` wrote:

python -m benchmarks.transfer.judged.page work/judged.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.transfer.judged.agreement import Score
from benchmarks.transfer.judged.encoders import STATISTICS, UNTRAINED
from trainer.study.by_movie import bootstrap
from trainer.study.findings.intervals import Interval


@dataclass(frozen=True)
class Row:
    """What is asked of which features."""

    material: str
    modality: str
    asked: str
    """`seen` or `heard`."""

    @property
    def title(self) -> str:
        """As in the tables."""
        return f"{self.material}: what is {self.asked}, from {self.modality}"


ROWS = (
    Row("movie", "video", "seen"),
    Row("movie", "audio", "heard"),
    Row("sounds", "audio", "heard"),
    Row("pictures", "video", "seen"),
    Row("movie", "video", "heard"),
    Row("movie", "audio", "seen"),
)
#: The last two are across modalities, for the explanation only.
NUM_OWN = 4

#: By row and figure, arm, and seed.
Scores = Mapping[tuple[Row, str], Mapping[str, Mapping[int, Score]]]

FIGURES = ("tags", "neighbor")

_CONTROL = "k = 16, no within-movie negatives"
ARM_ORDER = (STATISTICS, UNTRAINED, "k = 1", _CONTROL, "k = 16")

#: Title, baseline, changed.
EFFECTS = (
    ("negatives from the same movie, in the same batches", _CONTROL, "k = 16"),
    ("k = 16 instead of 1", "k = 1", "k = 16"),
    ("training at k = 1, instead of none", UNTRAINED, "k = 1"),
    ("training at k = 16, instead of none", UNTRAINED, "k = 16"),
    ("training at k = 16, instead of plain statistics", STATISTICS, "k = 16"),
)


def effect(baseline: Mapping[int, Score], changed: Mapping[int, Score]) -> Interval:
    """Paired by seed; with a bootstrap over seeds and blocks."""
    seeds = sorted(set(baseline) & set(changed))
    values = [changed[seed].value - baseline[seed].value for seed in seeds]
    pairs = [(baseline[seed].by_block, changed[seed].by_block) for seed in seeds]
    used = [tuple({k: v for k, v in one.items() if v[1]} for one in pair) for pair in pairs]
    return Interval.of(values, bootstrap([(a, b) for a, b in used]))


def to_json(found: Mapping[str, Scores], about: Mapping[str, object]) -> dict[str, object]:
    """JSON values; `of_json` is the inverse."""
    scores = {
        name: [
            {"row": asdict(row), "figure": figure, "arm": arm, "seed": seed, **_rounded(score)}
            for (row, figure), arms in of_study.items()
            for arm, by_seed in arms.items()
            for seed, score in by_seed.items()
        ]
        for name, of_study in found.items()
    }
    return {**about, "scores": scores}


def _rounded(score: Score) -> dict[str, Any]:
    blocks = {name: [round(one, 6) for one in two] for name, two in score.by_block.items()}
    return {**asdict(score), "value": round(score.value, 6), "by_block": blocks}


def of_json(values: Mapping[str, Any]) -> dict[str, Scores]:
    """The scores in a JSON file."""
    found: dict[str, Scores] = {}
    for name, entries in values["scores"].items():
        scores: dict[tuple[Row, str], Any] = defaultdict(lambda: defaultdict(dict))
        for one in entries:
            score = Score(one["value"], one["chance"], one["num_tags"], one["by_block"])
            scores[Row(**one["row"]), one["figure"]][one["arm"]][one["seed"]] = score
        found[name] = scores
    return found


def page(values: Mapping[str, Any]) -> str:
    """Tables in Markdown, of a JSON file."""
    found = of_json(values)
    parts = [f"{values['made']}, {values['seconds']:.0f} s.", ""]
    parts += [f"- {name}: {size} clips or files" for name, size in values["sizes"].items()]
    parts += [f"- most often {what}: {', '.join(names)}" for what, names in values["most"].items()]
    for number, row in enumerate(ROWS):
        kind = "" if number < NUM_OWN else " (across modalities, for the explanation only)"
        parts += ["", f"## {row.title[0].upper()}{row.title[1:]}{kind}", ""]
        parts += [*_arms(found, row), "", *_effects(found, row)]
    return "\n".join(parts)


def _arms(found: Mapping[str, Scores], row: Row) -> Iterator[str]:
    yield "| trained on | arm | tag probe, mAP | neighbor |"
    yield "|---|---|---|---|"
    for name, scores in found.items():
        for arm in ARM_ORDER:
            if arm == STATISTICS and name != next(iter(found)):
                continue
            of_arm = [list(scores[row, figure][arm].values()) for figure in FIGURES]
            cells = [Interval.of([one.value for one in of_seeds]).text() for of_seeds in of_arm]
            if arm == STATISTICS:
                cells = [f"{of_seeds[0].value:.3f}" for of_seeds in of_arm]
            shown = "-" if arm == STATISTICS else name
            yield f"| {shown} | {arm} | " + " | ".join(cells) + " |"
    first = next(iter(next(iter(found.values()))[row, "tags"][UNTRAINED].values()))
    yield f"| - | chance | {first.chance:.3f} ({first.num_tags} tags) | 0 |"


def _effects(found: Mapping[str, Scores], row: Row) -> Iterator[str]:
    yield "| trained on | effect | tag probe, mAP | neighbor |"
    yield "|---|---|---|---|"
    for name, scores in found.items():
        for title, baseline, changed in EFFECTS:
            cells = []
            for figure in FIGURES:
                one = effect(scores[row, figure][baseline], scores[row, figure][changed])
                text = one.text(sign=True).replace("movies", "blocks")
                cells.append(f"**{text}**" if one.is_clear else text)
            yield f"| {name} | {title} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text())))
