"""The result page: one self-contained HTML file, for a reader who is new to the subject."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from trainer.runs.atomic_files import write_text
from trainer.study import plots
from trainer.study.captions import (
    CURVE,
    EFFECTS,
    LOSS,
    MEANING,
    SIMILARITIES,
    STYLE,
    TRAINING,
)
from trainer.study.cells import STRIPS, CellResult
from trainer.study.config import NO_WEIGHT, StudyConfig, StudyCorpus
from trainer.study.examples import Example
from trainer.study.findings.intervals import Interval
from trainer.study.findings.summary import Row, Summary
from trainer.study.findings.verdict import Verdict, curve_rows

PAGE_HTML = "study.html"
PLOTS = "plots"


def write_page(
    run: Path,
    corpora: list[StudyCorpus],
    config: StudyConfig,
    results: list[CellResult],
    summary: Summary,
    findings: Verdict,
    about: dict[str, Any],
) -> Path:
    """Draw the plots and write the page; returns its path."""
    folder = run / PLOTS
    first_seed = {result.cell.setting: result for result in reversed(results)}
    rows = curve_rows(summary, config, corpora)
    curve_section = ""
    if findings.best is not None:
        _plot_curve(folder, rows, results, findings, *_references(summary, rows, config))
        curve_section = _findings(folder, findings)
        compared = [rows[0].setting, findings.best]
    else:
        compared = [summary.effects[0].baseline, summary.effects[0].changed]
    ends = [first_seed[setting] for setting in compared]
    plots.plot_similarities(folder / "similarities.png", ends)
    plots.plot_gaps(
        folder / "gaps.png", [first_seed[row.setting] for row in rows] if curve_section else ends
    )
    plots.plot_effects(folder / "effects.png", summary.effects, findings.judged_by)
    body = "\n".join(
        [
            _opening(config, findings),
            _claims(findings),
            curve_section,
            _similarities(folder),
            _examples(ends),
            _others(folder, findings),
            _account(summary, findings, about),
        ]
    )
    path = run / PAGE_HTML
    write_text(
        path,
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Within-movie negatives: a study</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n",
    )
    return path


def _plot_curve(
    folder: Path,
    rows: Sequence[Row],
    results: Sequence[CellResult],
    findings: Verdict,
    untrained: Row | None,
    control: Row | None,
) -> None:
    curve = {row.setting for row in rows}
    plots.plot_curve(folder / "curve.png", rows, untrained, control)
    plots.plot_loss_and_learning(folder / "loss.png", rows, findings.judged_by)
    on_curve = [result for result in results if result.cell.setting in curve]
    plots.plot_training(folder / "training.png", on_curve)


def _references(
    summary: Summary, rows: Sequence[Row], config: StudyConfig
) -> tuple[Row | None, Row | None]:
    """Of the curve: the untrained network, and the large k without its negatives."""
    first = rows[0].setting
    large = dataclasses.replace(first, clips_per_movie=config.large_clips)
    return (
        summary.row(dataclasses.replace(first, source="initial")),
        summary.row(dataclasses.replace(large, within_weight=NO_WEIGHT)),
    )


def _opening(config: StudyConfig, findings: Verdict) -> str:
    low, high = min(config.clips_per_movie), max(config.clips_per_movie)
    size = config.batch_size
    return f"""
<h1>Does it help to learn from clips of the same movie?</h1>
<p>A model sees clips of movies and learns, without any labels, which video belongs to which audio.
It learns by comparison: the true pair of video and audio must be more similar than video and audio
of <em>different</em> clips, the <em>negatives</em>. Everything depends on where these come from. A
movie has one look (colors, sets) and one score (music, rooms) from start to end. A negative from
<em>another</em> movie can be recognized by these alone, without knowing what is shown. A negative
from the <em>same</em> movie cannot.</p>
<div class="batches">
{_batch_drawing(low, size)}
{_batch_drawing(high, size)}
</div>
<p>So we trained the same model repeatedly, with batches of {size} clips that differ only in k, the
number of clips from one movie. Then we measured, on movies that no model had seen, what its
features encode: {MEANING[findings.judged_by[0]]},
and <b>which movie it is</b> (movie probe: look and score).</p>
<div class="verdict">{escape(findings.headline)}</div>
"""


def _batch_drawing(k: int, size: int) -> str:
    """A batch as squares, one color per movie."""
    per_row = 16
    cells = []
    for index in range(size):
        hue = (index // k) * 137.508 % 360
        x, y = (index % per_row) * 15, (index // per_row) * 15
        color = f"hsl({hue:.0f} 55% 58%)"
        cells.append(f"<rect x='{x}' y='{y}' width='13' height='13' rx='2' fill='{color}'/>")
    movies = size // k
    height = 15 * -(-size // per_row)
    return (
        f"<div class='batch'><svg width='{15 * per_row}' height='{height}'>{''.join(cells)}</svg>"
        f"k = {k}: {movies} movie{'s' * (movies != 1)} &times; {k} "
        f"clip{'s' * (k != 1)}, {(k - 1) / (size - 1):.0%} of the negatives from the same movie"
        "</div>"
    )


def _findings(folder: Path, findings: Verdict) -> str:
    points = "".join(f"<li>{escape(point)}</li>" for point in findings.points)
    return f"""
<h2>What more clips per movie change</h2>
{_figure(folder / "curve.png", CURVE)}
<ul>{points}</ul>
<h2>The loss, and what was learned</h2>
{_figure(folder / "loss.png", LOSS, narrow=True)}
{_figure(folder / "training.png", TRAINING)}"""


def _claims(findings: Verdict) -> str:
    if not findings.claims:
        return ""
    rows = "".join(
        f"<tr><td>{escape(item.text)}</td><td class='{item.outcome.split(' ')[-1]}'>"
        f"{escape(item.outcome)}</td><td>{escape(item.evidence)}</td></tr>"
        for item in findings.claims
    )
    return f"""
<h2>What is supported, and what is refuted</h2>
<div class="wide"><table><tr><th>claim</th><th>outcome</th><th>measured</th></tr>{rows}</table>
</div>
"""


def _similarities(folder: Path) -> str:
    return f"""
<h2>What is similar to what</h2>
{_figure(folder / "similarities.png", SIMILARITIES)}
{_figure(folder / "gaps.png", "The same by distance in time.", narrow=True)}
"""


def _examples(ends: Sequence[CellResult]) -> str:
    has_classes = any(example.label for result in ends for example in result.examples)
    alike = " Light green: another clip of the same class." if has_classes else ""
    parts = [
        "<h2>Retrieved clips</h2>",
        "<p>Given the audio of a held-out clip, the videos of all held-out clips are searched; "
        f"best first. Dark green: the clip itself.{alike} Red: any other clip.</p>",
    ]
    for result in ends:
        parts.append(
            f"<div class='example head'><div>{escape(result.cell.setting.describe())}</div>"
            "<div>first</div><div>second</div><div>third</div><div>fourth</div></div>"
        )
        unlabeled = "no label<br>" if has_classes else ""
        parts += [_example(result.folder, example, unlabeled) for example in result.examples]
    return "\n".join(parts)


def _example(folder: Path, example: Example, unlabeled: str) -> str:
    def clip(row: int) -> str:
        label = f"{escape(example.label[row])}<br>" if row in example.label else unlabeled
        movie = f"<span class='soft'>{escape(example.movie[row])}</span>"
        return f"{_image(folder / STRIPS / f'{row}.png')}{label}{movie}</div>"

    own = example.label.get(example.query)
    cells = [f"<div class='clip'>audio of<br>{clip(example.query)}"]
    for row in example.results:
        kind = "own" if row == example.query else "wrong"
        if row != example.query and own is not None and example.label.get(row) == own:
            kind = "alike"
        cells.append(f"<div class='clip {kind}'>{clip(row)}")
    return f"<div class='example'>{''.join(cells)}</div>"


def _others(folder: Path, findings: Verdict) -> str:
    groups = "".join(
        f"<h3>{escape(name.capitalize())}</h3><ul>"
        f"{''.join(f'<li>{escape(line)}</li>' for line in lines) or '<li>none</li>'}</ul>"
        for name, lines in findings.effects.items()
    )
    return f"""
<h2>When it helps, and when it does not</h2>
{_figure(folder / "effects.png", EFFECTS)}
<p>Differences in {escape(plots.kind_of(findings.judged_by[0]))}, with 95 % intervals; better and
worse mean in both modalities.</p>
{groups}
"""


def _account(summary: Summary, findings: Verdict, about: dict[str, Any]) -> str:
    head = "".join(f"<th>{escape(f.title)}</th>" for f in summary.measured)
    rows = []
    for row in summary.rows:
        cells = "".join(f"<td>{_interval(row.figures.get(f.key))}</td>" for f in summary.measured)
        rows.append(
            f"<tr><td>{escape(row.setting.corpus)}</td><td>{escape(row.setting.describe())}</td>"
            f"<td>{row.num_seeds}</td><td>{_interval(row.loss)}</td>{cells}</tr>"
        )
    first = summary.most_complete_row
    chance = "".join(
        f"<td>{first.chance.get(f.key, float('nan')):.3f}</td>" for f in summary.measured
    )
    corpora = "".join(
        f"<li><b>{escape(corpus['name'])}</b>: {escape(corpus['data'])}</li>"
        for corpus in about["corpora"]
    )
    return f"""
<h2>All numbers</h2>
<div class="wide"><table>
<tr><th>corpus</th><th>setting</th><th>seeds</th><th>loss</th>{head}</tr>{"".join(rows)}
<tr><td>{escape(first.setting.corpus)}</td><td>chance</td><td></td><td></td>{chance}</tr>
</table></div>
<h2>How it was measured</h2>
<p>{about["num_runs"]} runs of {about["study"]["steps"]} steps, up to {about["study"]["seeds"]}
seeds per setting, {about["cpu_seconds"] / 3600:.2f} CPU hours in total, on
{escape(about["hardware"])}, {about["date"]}; reelshards {about["versions"]["reelshards"]}, torch
{escape(about["versions"]["torch"])}. All settings are in <code>study.json</code>.</p>
<ul>{corpora}</ul>
<ul>{"".join(f"<li>{escape(text)}</li>" for text in findings.caveats)}</ul>
<p class="soft">The question comes from arXiv:2205.00073. Movies, models, settings and all numbers
here are our own; none comes from that paper.</p>
"""


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    if interval.low != interval.low:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f}<br><span>{interval.low:.2f} to {interval.high:.2f}</span>"


def _figure(path: Path, caption: str, *, narrow: bool = False) -> str:
    kind = " class='narrow'" if narrow else ""
    return f"<figure{kind}>{_image(path)}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<img alt='{escape(path.stem)}' src='data:image/png;base64,{data}'>"
