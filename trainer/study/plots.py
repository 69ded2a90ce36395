"""Plots of a study, as PNG files.

Every point is drawn with its interval and the single seeds, and with chance. Legends are outside of
the panels, where they cannot cover any data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trainer.study.cells import CellResult
from trainer.study.findings.claims import TITLES
from trainer.study.findings.intervals import Interval
from trainer.study.findings.summary import Effect, Row

BLUE, ORANGE, GREEN, RED, GRAY = "#2f6db3", "#d9822b", "#3a8f5c", "#b23a48", "#8a8f98"
DASHES = (0, (6, 3))
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


def plot_curve(
    path: Path, rows: Sequence[Row], untrained: Row | None = None, control: Row | None = None
) -> None:
    """Meaning, movie identity, within-movie retrieval, and the loss, over k.

    Args:
        untrained: the network without training, drawn as a dashed line.
        control: the batches of one k without its within-movie negatives, drawn as hollow squares.
    """
    panels = [
        ("What is seen and heard (mAP)", ("seen_video", "heard_audio")),
        ("What is shown (class probe)", ("class_video", "class_audio")),
        ("Which movie it is (movie probe)", ("movie_video", "movie_audio")),
        ("The other view within the movie (R@1)", ("within_v2a", "within_a2v")),
    ]
    panels = [(title, keys) for title, keys in panels if all(k in rows[0].figures for k in keys)]
    with mpl.rc_context(STYLE):
        figure, axes = _figure(len(panels) + 1, 5.0, per_row=2)
        for axis, (title, keys) in zip(axes, panels, strict=False):
            for key, color in zip(keys, (BLUE, ORANGE), strict=True):
                _curve(axis, rows, [row.figures[key] for row in rows], color, _short(key))
                axis.axhline(rows[0].chance[key], color=color, ls=":", lw=1)
                _references(axis, rows, untrained, control, key, color)
            # Retrieval among dozens of clips is far below 1 even if it is good.
            highest = max(max(row.figures[key].values) for row in rows for key in keys)
            axis.set(title=title, ylim=(0, 1.03 if highest > 0.4 else 0.4))
        losses = [row.loss for row in rows if row.loss]
        _curve(axes[-1], rows, losses, GRAY, "")
        axes[-1].set(title="Training loss at the end, nats", ylim=(0, None))
        for axis in axes:
            _k_axis(axis, rows)
        _legend(figure, _meanings(untrained, control))
        _save(figure, path)


def _meanings(untrained: Row | None, control: Row | None) -> list[Line2D]:
    """What colors and marks of the curve mean, in all of its panels."""
    marks = [
        Line2D([], [], color=BLUE, marker="o", label="of video, or video to audio"),
        Line2D([], [], color=ORANGE, marker="o", label="of audio, or audio to video"),
        Line2D([], [], color=GRAY, ls=":", lw=1, label="chance"),
    ]
    if untrained is not None:
        marks.append(Line2D([], [], color=GRAY, ls=DASHES, lw=1.2, label="untrained network"))
    if control is not None:
        name = f"k = {control.setting.clips_per_movie}, no within-movie negatives"
        marks.append(Line2D([], [], color=GRAY, ls="", marker="s", mfc="white", ms=7, label=name))
    return marks


def plot_loss_and_learning(path: Path, rows: Sequence[Row], keys: Sequence[str]) -> None:
    """Every run of the curve: its loss and what it learned."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(1, 5.2, height=3.6)
        for row, shade in zip(rows, _shades(len(rows)), strict=True):
            learned = [
                sum(values) / len(values)
                for values in zip(*(row.figures[key].values for key in keys), strict=True)
            ]
            k = row.setting.clips_per_movie
            losses = row.loss.values if row.loss else []
            axes[0].scatter(losses, learned, color=shade, s=46, label=f"k = {k}", zorder=3)
        axes[0].set(
            title="The loss, and what was learned",
            xlabel="training loss at the end, nats",
            ylabel=f"mean of {' and '.join(map(_short, keys))},\n{kind_of(keys[0])}",
            ylim=(0, 1),
        )
        _legend(figure, axes)
        _save(figure, path)


def plot_training(path: Path, results: Sequence[CellResult]) -> None:
    """Loss and softmax mass on within-movie negatives over training, one line per run."""
    panels = [
        ("train/loss", "Loss, nats"),
        ("train/within_softmax_mass", "Softmax mass on within-movie negatives"),
    ]
    ks = sorted({result.cell.setting.clips_per_movie for result in results})
    shade = dict(zip(ks, _shades(len(ks)), strict=True))
    with mpl.rc_context(STYLE):
        figure, axes = _figure(2, 5.0)
        for axis, (name, title) in zip(axes, panels, strict=True):
            labeled: set[int] = set()
            for result in results:
                k = result.cell.setting.clips_per_movie
                points = [
                    (step, value)
                    for step, value in zip(result.curves["step"], result.curves[name], strict=True)
                    if step is not None and value is not None
                ]
                if points:
                    label = "" if k in labeled else f"k = {k}"
                    axis.plot(*zip(*points, strict=True), color=shade[k], lw=1.3, label=label)
                    labeled.add(k)
            axis.set(title=title, xlabel="step")
            axis.set_ylim(bottom=0)
        _legend(figure, axes)
        _save(figure, path)


def plot_similarities(path: Path, results: Sequence[CellResult]) -> None:
    """Cosines of pairs by kind, one panel per run."""
    colors = {
        "positive": GREEN,
        "same movie, same class": ORANGE,
        "same movie, other class": RED,
        "other movie, same class": BLUE,
        "other movie, other class": GRAY,
    }
    has_classes = any(item["kind"] == "other movie, same class" for item in results[0].similarities)
    with mpl.rc_context(STYLE):
        figure, axes = _figure(len(results), 5.0)
        for axis, result in zip(axes, results, strict=True):
            kinds = [
                item for item in result.similarities if not has_classes or item["kind"] in colors
            ]
            for number, item in enumerate(kinds):
                color = colors.get(item["kind"], _shades(len(kinds))[number])
                width = 2 / len(item["shares"])
                middles = [-1 + width * (bin_ + 0.5) for bin_ in range(len(item["shares"]))]
                axis.plot(middles, item["shares"], color=color, lw=1.8, label=item["kind"])
                axis.axvline(item["mean"], color=color, lw=0.9, ls=":")
            axis.set(title=result.cell.setting.describe(), xlabel="cosine of video and audio")
            axis.set(ylabel="share of pairs")
        _legend(figure, axes)
        _save(figure, path)


def plot_gaps(path: Path, results: Sequence[CellResult]) -> None:
    """Mean cosine of pairs of one movie by the time between them, one line per run."""
    with mpl.rc_context(STYLE):
        figure, axes = _figure(1, 6.2, height=3.4)
        for result, shade in zip(results, _shades(len(results)), strict=True):
            kinds = [
                item
                for item in result.similarities
                if item["kind"] in ("positive", "other movie") or " apart" in item["kind"]
            ]
            names = [item["kind"].replace("same movie, ", "same movie,\n") for item in kinds]
            axes[0].plot(
                names,
                [item["mean"] for item in kinds],
                "o-",
                color=shade,
                label=result.cell.setting.describe(),
            )
        axes[0].set(title="Mean cosine of video and audio, by where they come from")
        axes[0].tick_params(axis="x", labelsize=8.5)
        _legend(figure, axes)
        _save(figure, path)


def plot_effects(path: Path, effects: Sequence[Effect], keys: Sequence[str]) -> None:
    """Differences with their intervals, one per row."""
    effects = [item for item in effects if all(key in item.differences for key in keys)]
    with mpl.rc_context(STYLE):
        figure, axes = _figure(1, 9.5, height=0.9 + 0.5 * len(effects))
        for number, key in enumerate(keys):
            color, offset = (BLUE, ORANGE)[number % 2], (number - 0.5) * 0.22
            for row, effect in enumerate(effects):
                interval = effect.differences[key]
                height = row + offset
                axes[0].plot([interval.low, interval.high], [height, height], color=color, lw=3)
                both = [interval.movie_low, interval.movie_high]
                axes[0].plot(both, [height, height], color=color, lw=1, marker="|", ms=7)
                label = _short(key) if row == 0 else ""
                axes[0].plot(interval.mean, height, "o", color=color, ms=6, label=label)
        axes[0].axvline(0, color="#33373d", lw=1)
        axes[0].set_yticks(range(len(effects)), [item.name for item in effects])
        axes[0].invert_yaxis()
        axes[0].set(xlabel=f"difference in {kind_of(keys[0])}, with its 95 % intervals")
        _legend(figure, axes)
        _save(figure, path)


def _curve(
    axis: Axes, rows: Sequence[Row], intervals: Sequence[Interval], color: str, label: str
) -> None:
    positions = list(range(len(rows)))
    axis.plot(positions, [item.mean for item in intervals], "o-", color=color, label=label, lw=1.8)
    for x, item in zip(positions, intervals, strict=True):
        axis.plot([x, x], [item.low, item.high], color=color, lw=1.2, alpha=0.7)
        axis.scatter([x] * len(item.values), item.values, color=color, s=10, alpha=0.5)


def _references(
    axis: Axes,
    rows: Sequence[Row],
    untrained: Row | None,
    control: Row | None,
    key: str,
    color: str,
) -> None:
    """What a curve is to be compared with."""
    if untrained is not None and key in untrained.figures:
        mean = untrained.figures[key].mean
        axis.axhline(mean, color=color, ls=DASHES, lw=1.2)
    if control is not None and key in control.figures:
        x = [row.setting.clips_per_movie for row in rows].index(control.setting.clips_per_movie)
        interval = control.figures[key]
        axis.plot([x, x], [interval.low, interval.high], color=color, lw=1.2, ls=":")
        axis.plot(x, interval.mean, "s", mfc="white", mec=color, ms=7, zorder=4)


def _k_axis(axis: Axes, rows: Sequence[Row]) -> None:
    axis.set_xticks(range(len(rows)), [str(row.setting.clips_per_movie) for row in rows])
    axis.set_xlabel("k, clips per movie in a batch")
    axis.set_xlim(-0.3, len(rows) - 0.7)


def _figure(
    num_panels: int, width: float, height: float = 3.3, per_row: int = 0
) -> tuple[Figure, list[Axes]]:
    """Panels of `width` by `height` inches, `per_row` in each row (0 for all)."""
    columns = min(per_row or num_panels, num_panels)
    rows = -(-num_panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[num_panels:]:
        spare.remove()
    return figure, axes[:num_panels]


def _legend(figure: Figure, marks: Sequence[Axes] | Sequence[Line2D]) -> None:
    """Below the panels: given marks, or each label of the panels once."""
    named: dict[str, Any] = {}
    for mark in marks:
        if isinstance(mark, Axes):
            for handle, label in zip(*mark.get_legend_handles_labels(), strict=True):
                named.setdefault(label, handle)
        else:
            named[str(mark.get_label())] = mark
    # A letter of this size takes about 0.075 inches, a handle and space 0.65, a row 0.22.
    widest = 0.65 + 0.075 * max(map(len, named), default=0)
    columns = max(1, min(len(named), int(figure.get_figwidth() // widest)))
    figure.set_figheight(figure.get_figheight() + 0.22 * -(-len(named) // columns))
    figure.legend(
        named.values(), named.keys(), loc="outside lower center", ncols=columns, fontsize=9
    )


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without date and version in the file, equal results give equal files.
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _shades(count: int) -> list[str]:
    return [SHADES[round(i * (len(SHADES) - 1) / max(1, count - 1))] for i in range(count)]


def _short(key: str) -> str:
    directions = {"within_v2a": "video to audio", "within_a2v": "audio to video"}
    return directions.get(key, key.split("_")[-1])


def kind_of(key: str) -> str:
    """What a figure measures, without modality or direction."""
    return TITLES[key].split(",")[0]
