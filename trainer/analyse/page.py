"""The result of `analyse` as one HTML file, for a reader without a manual."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from shards_spec.errors import InputError
from trainer.analyse.analysis import TABLE_CLIPS, Analysis, Properties
from trainer.analyse.recurrence import GUARDS, GapRate
from trainer.runs.atomic_files import atomic_file

COLORS = {"video": "#2f6db3", "audio": "#d9822b", "both": "#3a8f5c", "chance": "#8a8f98"}

STYLE = """
body { font: 16px/1.55 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1d2126;
       max-width: 960px; margin: 0 auto; padding: 28px 36px 60px; }
h1 { font-size: 28px; line-height: 1.25; } h2 { font-size: 20px; margin: 36px 0 6px; }
p { max-width: 76ch; margin: 8px 0; } img { max-width: 100%; margin: 10px 0; }
.advice { border-left: 5px solid #2f6db3; background: #f4f6f8; padding: 12px 18px; }
code { background: #e9edf1; padding: 1px 5px; border-radius: 3px; }
table { border-collapse: collapse; font-size: 14px; margin: 10px 0; }
td, th { text-align: right; padding: 4px 12px; border-bottom: 1px solid #dfe3e8; }
.soft { color: #5b626b; font-size: 14px; }
"""

NAMES = {"statistics": "By plain statistics of the clips", "features": "By the run's features"}


def require_page(path: Path) -> None:
    """Raise `InputError` unless a page can be written to `path`."""
    if path.suffix != ".html":
        raise InputError(f"--out {path}: the ending must be .html")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(
            "the page needs matplotlib, which is not installed: pip install 'reelshards[study]', "
            "or pass --out '' for no page"
        ) from error


def write_page(path: Path, analysis: Analysis) -> None:
    """Write the page. Raises `InputError` if that is impossible."""
    try:
        with atomic_file(path) as file:
            file.write(_page(analysis).encode())
    except OSError as error:
        raise InputError(f"--out {path} cannot be written: {error}") from error


def _page(analysis: Analysis) -> str:
    advice = analysis.advice
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in advice.reasons)
    sections = "".join(_section(item) for item in analysis.properties)
    run = f" and the run {escape(analysis.run)}" if analysis.run else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What a corpus offers to within-movie negatives</title><style>{STYLE}</style></head><body>
<h1>What this corpus offers to within-movie negatives</h1>
<p class="soft">{escape(analysis.data)}{run}: {analysis.num_clips:,} of {analysis.num_rows:,} clips,
{analysis.num_movies:,} movies.</p>
<p>A negative from the same movie is useful if movies can be recognized by things that do not
matter, if one movie shows many kinds of things, and if it does not keep showing the same one.
These three are measured here.</p>
<div class="advice"><p>To begin with: <code>{escape(advice.flags())}</code></p><ul>{reasons}</ul>
</div>
{sections}
</body></html>
"""


def _section(item: Properties) -> str:
    parts = [f"<h2>{NAMES[item.name]}</h2>"]
    if item.consistency:
        parts += [
            "<p><b>Is a movie recognized by its look and its score?</b> A linear probe learns the "
            "first half of each movie and is asked about the second. The longer the bar, the "
            "easier are negatives from other movies.</p>",
            _consistency_plot(item),
        ]
    if item.diversity:
        found = item.diversity
        parts += [
            "<p><b>How many kinds of things does a movie show?</b> All clips are sorted into "
            f"{found.num_clusters} clusters. A movie uses {found.movie:.1f} of them effectively; "
            f"as many clips from the whole corpus use {found.corpus:.1f} (ratio "
            f"{found.ratio:.2f}; 1 is as diverse as the corpus).</p>",
            _diversity_plot(item),
        ]
    if item.recurrence:
        parts += [
            "<p><b>Does a movie show the same thing again?</b> Pairs of clips of one movie that "
            "are near-duplicates, by the time between them. A negative on the left of the curve's "
            "fall is often a false one: a guard leaves it out.</p>",
            _recurrence_plot(item.recurrence.by_gap, item.recurrence.other_movies),
            "<p>Expected false negatives of each clip in a batch, in each direction:</p>",
            _table(item),
        ]
    return "\n".join(parts)


def _table(item: Properties) -> str:
    found = item.recurrence
    assert found is not None
    head = "".join(f"<th>k = {k}</th>" for k in TABLE_CLIPS)
    rows = "".join(
        f"<tr><th>guard {guard:g} s</th>"
        + "".join(f"<td>{found.false_negatives(k, guard):.2f}</td>" for k in TABLE_CLIPS)
        + f"<td>{found.share_kept(guard):.0%}</td></tr>"
        for guard in GUARDS
    )
    return f"<table><tr><th></th>{head}<th>pairs left</th></tr>{rows}</table>"


def _consistency_plot(item: Properties) -> str:
    figure, axis = _figure(1.5)
    names = list(item.consistency)
    for row, name in enumerate(names):
        probe = item.consistency[name]
        axis.barh(row, probe.accuracy, color=COLORS[name], height=0.55)
        axis.plot([probe.chance] * 2, [row - 0.4, row + 0.4], color="black", lw=1.5)
        label = f"{probe.accuracy:.0%} (chance {probe.chance:.1%})"
        inside = probe.accuracy > 0.7
        x = probe.accuracy - 0.01 if inside else max(probe.accuracy, probe.chance) + 0.01
        side, color = ("right", "white") if inside else ("left", "black")
        axis.text(x, row, label, va="center", ha=side, color=color)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlim=(0, 1), xlabel="clips whose movie is identified (line: chance)")
    axis.invert_yaxis()
    return _image(figure, "How often the movie is identified, by modality")


def _diversity_plot(item: Properties) -> str:
    found = item.diversity
    assert found is not None
    figure, axis = _figure(2.3)
    axis.hist(found.by_movie, bins=min(30, max(5, len(found.by_movie) // 3)), color="#9ecae1")
    axis.axvline(found.movie, color=COLORS["video"], lw=2, label="median movie")
    axis.axvline(found.corpus, color="black", lw=2, ls="--", label="as many clips of the corpus")
    axis.set(xlabel="effective number of clusters", ylabel="movies", xlim=(0, None))
    _legend(figure)
    return _image(figure, "Effective number of clusters of each movie")


def _recurrence_plot(rates: Sequence[GapRate], other_movies: dict[str, float]) -> str:
    figure, axis = _figure(3.0)
    x = list(range(len(rates)))
    for name in ("video", "audio", "both"):
        values = [100 * item.rates[name] for item in rates]
        axis.plot(x, values, "o-", color=COLORS[name], label=f"same in {name}")
    known = [value for value in other_movies.values() if math.isfinite(value)]
    if known:
        chance = 100 * sum(known) / len(known)
        axis.axhline(chance, color=COLORS["chance"], ls=":", label="clips of different movies")
    axis.set_xticks(x, [_gap(item) for item in rates], fontsize=8.5)
    axis.set(xlabel="time between the clips", ylabel="near-duplicates, %")
    axis.set_ylim(bottom=0)
    _legend(figure)
    return _image(figure, "Share of near-duplicates by the time between two clips")


def _gap(item: GapRate) -> str:
    return f">{item.low_s:g} s" if math.isinf(item.high_s) else f"{item.low_s:g}-{item.high_s:g} s"


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, height), layout="constrained")
    axis = figure.add_subplot()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def _legend(figure: Any) -> None:
    """Below the panel, where it cannot cover any data."""
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)


def _image(figure: Any, text: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='{escape(text)}' src='data:image/png;base64,{data}'>"
