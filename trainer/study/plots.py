"""Pictures of a study, as PNG files.

Every point stands with its interval and the single seeds behind it, beside chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from trainer.study.cells import CellResult
from trainer.study.summary import Effect, Interval, Row
from trainer.study.verdict import TITLES

BLUE, ORANGE, GREEN, RED, GREY = "#2f6db3", "#d9822b", "#3a8f5c", "#b23a48", "#8a8f98"
SHADES = ("#9ecae1", "#6baed6", "#3182bd", "#08519c", "#08306b")

STYLE: Any = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "legend.frameon": False,
}


def plot_curve(path: Path, rows: Sequence[Row]) -> None:
    """Meaning, movie identity, within-movie retrieval, and the loss, over k."""
    panels = [
        ("What is shown (class probe)", ("class_video", "class_audio")),
        ("Which movie it is (movie probe)", ("movie_video", "movie_audio")),
        ("Its other view in its movie (R@1)", ("within_v2a", "within_a2v")),
    ]
    panels = [(title, keys) for title, keys in panels if all(k in rows[0].figures for k in keys)]
    with mpl.rc_context(STYLE):
        picture, axes = _picture(len(panels) + 1, 5.0, per_row=2)
        for axis, (title, keys) in zip(axes, panels, strict=False):
            for key, colour in zip(keys, (BLUE, ORANGE), strict=True):
                _curve(axis, rows, [row.figures[key] for row in rows], colour, _short(key))
                axis.axhline(rows[0].chance[key], color=colour, ls=":", lw=1)
            # Retrieval among dozens is far below 1 even where it is good.
            highest = max(max(row.figures[key].values) for row in rows for key in keys)
            axis.set(title=title, ylim=(0, 1 if highest > 0.4 else 0.4))
            axis.legend(loc="best")
        _curve(axes[-1], rows, [row.loss for row in rows], GREY, "")
        axes[-1].set(title="Training loss at the end, nats")
        axes[-1].set_ylim(bottom=0)
        for axis in axes:
            _k_axis(axis, rows)
        _save(picture, path)


def plot_loss_and_learning(path: Path, rows: Sequence[Row], keys: Sequence[str]) -> None:
    """Every run of the curve: its loss beside what it learnt."""
    with mpl.rc_context(STYLE):
        picture, axes = _picture(1, 5.2, height=3.6)
        for row, shade in zip(rows, _shades(len(rows)), strict=True):
            learnt = [
                sum(values) / len(values)
                for values in zip(*(row.figures[key].values for key in keys), strict=True)
            ]
            k = row.setting.clips_per_movie
            axes[0].scatter(row.loss.values, learnt, color=shade, s=46, label=f"k = {k}", zorder=3)
        axes[0].set(
            title="The loss, and what was learnt",
            xlabel="training loss at the end, nats",
            ylabel="mean of "
            + " and ".join(_short(key) for key in keys)
            + ",\n"
            + kind_of(keys[0]),
            ylim=(0, 1),
        )
        axes[0].legend()
        _save(picture, path)


def plot_training(path: Path, results: Sequence[CellResult]) -> None:
    """Loss and softmax mass on within-movie negatives over training, a line a run."""
    panels = [
        ("train/loss", "Loss, nats"),
        ("train/within_softmax_mass", "Softmax mass on within-movie negatives"),
    ]
    ks = sorted({result.cell.setting.clips_per_movie for result in results})
    shade = dict(zip(ks, _shades(len(ks)), strict=True))
    with mpl.rc_context(STYLE):
        picture, axes = _picture(2, 5.0)
        for axis, (name, title) in zip(axes, panels, strict=True):
            labelled: set[int] = set()
            for result in results:
                k = result.cell.setting.clips_per_movie
                points = [
                    (step, value)
                    for step, value in zip(result.curves["step"], result.curves[name], strict=True)
                    if step is not None and value is not None
                ]
                if points:
                    label = "" if k in labelled else f"k = {k}"
                    axis.plot(*zip(*points, strict=True), color=shade[k], lw=1.3, label=label)
                    labelled.add(k)
            axis.set(title=title, xlabel="step")
            axis.set_ylim(bottom=0)
            axis.legend()
        _save(picture, path)


def plot_similarities(path: Path, results: Sequence[CellResult]) -> None:
    """Cosines of pairs by their kind, a panel a run."""
    colours = {
        "positive": GREEN,
        "same movie, same class": ORANGE,
        "same movie, other class": RED,
        "other movie, same class": BLUE,
        "other movie, other class": GREY,
    }
    has_classes = any(one["kind"] == "other movie, same class" for one in results[0].similarities)
    with mpl.rc_context(STYLE):
        picture, axes = _picture(len(results), 5.0)
        for axis, result in zip(axes, results, strict=True):
            kinds = [
                one
                for one in result.similarities
                if (one["kind"] in colours if has_classes else True)
            ]
            for number, one in enumerate(kinds):
                colour = colours.get(one["kind"], _shades(len(kinds))[number])
                width = 2 / len(one["shares"])
                middles = [-1 + width * (bin_ + 0.5) for bin_ in range(len(one["shares"]))]
                axis.plot(middles, one["shares"], color=colour, lw=1.8, label=one["kind"])
                axis.axvline(one["mean"], color=colour, lw=0.9, ls=":")
            axis.set(title=result.cell.setting.describe(), xlabel="cosine of picture and sound")
            axis.set(ylabel="share of pairs")
            axis.legend(fontsize=8.5)
        _save(picture, path)


def plot_gaps(path: Path, results: Sequence[CellResult]) -> None:
    """Mean cosine of pairs of one movie by the time between them, a line a run."""
    with mpl.rc_context(STYLE):
        picture, axes = _picture(1, 6.2, height=3.4)
        for result, shade in zip(results, _shades(len(results)), strict=True):
            kinds = [
                one
                for one in result.similarities
                if one["kind"] in ("positive", "other movie") or " apart" in one["kind"]
            ]
            names = [one["kind"].replace("same movie, ", "same movie,\n") for one in kinds]
            axes[0].plot(
                names,
                [one["mean"] for one in kinds],
                "o-",
                color=shade,
                label=result.cell.setting.describe(),
            )
        axes[0].set(title="Mean cosine of picture and sound, by where they come from")
        axes[0].tick_params(axis="x", labelsize=8.5)
        axes[0].legend()
        _save(picture, path)


def plot_effects(path: Path, effects: Sequence[Effect], keys: Sequence[str]) -> None:
    """Differences with their intervals, one below the other."""
    effects = [one for one in effects if all(key in one.differences for key in keys)]
    with mpl.rc_context(STYLE):
        picture, axes = _picture(1, 9.5, height=0.9 + 0.5 * len(effects))
        for number, key in enumerate(keys):
            colour, offset = (BLUE, ORANGE)[number % 2], (number - 0.5) * 0.22
            for place, effect in enumerate(effects):
                found = effect.differences[key]
                height = place + offset
                axes[0].plot([found.low, found.high], [height, height], color=colour, lw=2)
                label = _short(key) if place == 0 else ""
                axes[0].plot(found.mean, height, "o", color=colour, ms=6, label=label)
        axes[0].axvline(0, color="#33373d", lw=1)
        axes[0].set_yticks(range(len(effects)), [one.name for one in effects])
        axes[0].invert_yaxis()
        axes[0].set(title=f"Difference in {kind_of(keys[0])}, with its 95 % interval")
        axes[0].legend()
        _save(picture, path)


def _curve(
    axis: Axes, rows: Sequence[Row], intervals: Sequence[Interval], colour: str, label: str
) -> None:
    places = list(range(len(rows)))
    axis.plot(places, [one.mean for one in intervals], "o-", color=colour, label=label, lw=1.8)
    for place, one in zip(places, intervals, strict=True):
        axis.plot([place, place], [one.low, one.high], color=colour, lw=1.2, alpha=0.7)
        axis.scatter([place] * len(one.values), one.values, color=colour, s=10, alpha=0.5)


def _k_axis(axis: Axes, rows: Sequence[Row]) -> None:
    axis.set_xticks(range(len(rows)), [str(row.setting.clips_per_movie) for row in rows])
    axis.set_xlabel("k, clips of a movie in a batch")
    axis.set_xlim(-0.3, len(rows) - 0.7)


def _picture(
    num_panels: int, width: float, height: float = 3.3, per_row: int = 0
) -> tuple[Picture, list[Axes]]:
    """Panels of so many inches, in one row or several."""
    columns = min(per_row or num_panels, num_panels)
    rows = -(-num_panels // columns)
    picture = Picture(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(picture.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[num_panels:]:
        spare.remove()
    return picture, axes[:num_panels]


def _save(picture: Picture, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without date and version in the file, equal results give equal pictures.
    picture.savefig(path, dpi=110, metadata={"Software": None})


def _shades(count: int) -> list[str]:
    return [SHADES[round(place * (len(SHADES) - 1) / max(1, count - 1))] for place in range(count)]


def _short(key: str) -> str:
    return {
        "within_v2a": "video to audio",
        "within_a2v": "audio to video",
    }.get(key, key.split("_")[-1])


def kind_of(key: str) -> str:
    """What a figure measures, its modality or direction aside."""
    return TITLES[key].split(",")[0]
