"""The result page: one HTML file with all in it, for a person who never heard of the idea."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from trainer.run import write_text
from trainer.study import plots
from trainer.study.cells import STRIPS, CellResult
from trainer.study.config import StudyConfig, StudyCorpus
from trainer.study.examples import Example
from trainer.study.summary import FIGURES, Interval, Summary
from trainer.study.verdict import Verdict, curve_rows

PAGE_HTML = "study.html"
PLOTS = "plots"

STYLE = """
:root { --ink: #1d2126; --soft: #5b626b; --line: #dfe3e8; --paper: #fff; --tint: #f4f6f8;
        --good: #2e7d4f; --bad: #a63a3a; --blue: #2f6db3; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--tint); color: var(--ink);
       font: 16px/1.55 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 40px 64px; background: var(--paper); }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 21px; margin: 44px 0 8px; padding-top: 18px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 16px 0 2px; }
p { margin: 8px 0; max-width: 78ch; } ul { margin: 8px 0; padding-left: 22px; max-width: 82ch; }
li { margin: 5px 0; }
.verdict { border-left: 5px solid var(--blue); background: var(--tint); padding: 14px 20px;
           margin: 20px 0; font-size: 17px; }
.soft, figcaption { color: var(--soft); font-size: 14px; }
figure { margin: 18px 0; } figure > img { width: 100%; height: auto; }
figure.narrow > img { width: 62%; }
table { border-collapse: collapse; font-size: 12.5px; width: 100%; }
th, td { text-align: left; padding: 5px 8px; border-bottom: 1px solid var(--line);
         vertical-align: top; }
th { font-weight: 600; background: var(--tint); } td span { color: var(--soft); }
.wide { overflow-x: auto; }
.example { display: grid; grid-template-columns: 190px repeat(4, 1fr); gap: 8px; margin: 10px 0;
           align-items: start; }
.example.head { font-weight: 600; font-size: 14px; margin-top: 20px; }
.clip { font-size: 12.5px; line-height: 1.3; }
.clip img { width: 100%; display: block; border: 3px solid var(--line); border-radius: 3px; }
.own img { border-color: var(--good); } .alike img { border-color: #8fc4a5; }
.wrong img { border-color: #d9a1a1; }
.batches { display: flex; gap: 40px; flex-wrap: wrap; margin: 16px 0; }
.batch { font-size: 14px; } .batch svg { display: block; margin-bottom: 6px; }
code { background: var(--tint); padding: 1px 4px; border-radius: 3px; font-size: 14px; }
"""


def write_page(
    run: Path,
    corpora: list[StudyCorpus],
    config: StudyConfig,
    results: list[CellResult],
    summary: Summary,
    found: Verdict,
    about: dict[str, Any],
) -> Path:
    """Draw the plots and write the page beside them; returns its path."""
    rows = curve_rows(summary, config, corpora)
    folder = run / PLOTS
    first_seed = {r.cell.setting: r for r in reversed(results)}
    ends = [first_seed[rows[0].setting], first_seed[found.best]]
    curve = {row.setting for row in rows}
    on_curve = [result for result in results if result.cell.setting in curve]
    plots.plot_curve(folder / "curve.png", rows)
    plots.plot_loss_and_learning(folder / "loss.png", rows, found.judged_by)
    plots.plot_training(folder / "training.png", on_curve)
    plots.plot_similarities(folder / "similarities.png", ends)
    plots.plot_gaps(folder / "gaps.png", [first_seed[row.setting] for row in rows])
    plots.plot_effects(folder / "effects.png", summary.effects, found.judged_by)
    body = "\n".join(
        [
            _opening(config, found),
            _findings(folder, found),
            _examples(ends),
            _others(folder, found),
            _account(summary, found, about),
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


def _opening(config: StudyConfig, found: Verdict) -> str:
    low, high = min(config.clips_per_movie), max(config.clips_per_movie)
    size = config.batch_size
    return f"""
<h1>Does it help to learn from clips of the same movie?</h1>
<p>A model watches clips of movies and learns, without any labels, which picture belongs to which
sound. It learns by comparing: the true pair of picture and sound must be more alike than picture
and sound of <em>different</em> clips, the <em>negatives</em>. Everything depends on where these
come from. A movie has one look (colours, sets) and one sound (music, room) from start to end. A
negative from <em>another</em> movie can be told by these alone, without knowing what is shown. A
negative from the <em>same</em> movie cannot.</p>
<div class="batches">
{_batch_drawing(low, size)}
{_batch_drawing(high, size)}
</div>
<p>So we trained the same small model again and again, with batches of {size} clips that differ in
one thing: k, how many of them come from one movie. Afterwards we asked, on movies that no model had
seen, what its features know: <b>what is shown</b> (class probe: that is meaning), and <b>which
movie it is</b> (movie probe: that is look and score).</p>
<div class="verdict">{escape(found.headline)}</div>
"""


def _batch_drawing(k: int, size: int) -> str:
    """A batch as squares, a colour a movie."""
    per_row = 16
    cells = []
    for place in range(size):
        hue = (place // k) * 137.508 % 360
        x, y = (place % per_row) * 15, (place // per_row) * 15
        colour = f"hsl({hue:.0f} 55% 58%)"
        cells.append(f"<rect x='{x}' y='{y}' width='13' height='13' rx='2' fill='{colour}'/>")
    movies = size // k
    height = 15 * -(-size // per_row)
    return (
        f"<div class='batch'><svg width='{15 * per_row}' height='{height}'>{''.join(cells)}</svg>"
        f"k = {k}: {movies} movie{'s' * (movies != 1)} &times; {k} "
        f"clip{'s' * (k != 1)}, {(k - 1) / (size - 1):.0%} of the negatives from the same movie"
        "</div>"
    )


CURVE = (
    "Points are means over seeds with 95 % intervals, small dots the single runs, dotted lines "
    "chance. All on held-out movies but for the loss."
)
LOSS = (
    "One point a run. With negatives that look and score can tell, the task is easy and the loss "
    "low; that says nothing about meaning."
)
TRAINING = (
    "One line a run. The softmax mass says how much of the loss's attention goes to clips of the "
    "same movie."
)
SIMILARITIES = (
    "How alike picture and sound of two clips are to the model, for pairs of each kind. A model of "
    "meaning keeps classes apart, whatever the movie; a model of movies keeps movies apart, "
    "whatever is shown. Dotted: means."
)
EFFECTS = (
    "Each line: what one change does on its own. Right of zero is better. Bars are 95 % intervals "
    "over seeds, paired."
)


def _findings(folder: Path, found: Verdict) -> str:
    points = "".join(f"<li>{escape(point)}</li>" for point in found.points)
    return f"""
<h2>What more clips of a movie change</h2>
{_figure(folder / "curve.png", CURVE)}
<ul>{points}</ul>
<h2>The loss, and what was learnt</h2>
{_figure(folder / "loss.png", LOSS, narrow=True)}
{_figure(folder / "training.png", TRAINING)}
<h2>What lies near what</h2>
{_figure(folder / "similarities.png", SIMILARITIES)}
{_figure(folder / "gaps.png", "The same by distance in time.", narrow=True)}
"""


def _examples(ends: Sequence[CellResult]) -> str:
    parts = [
        "<h2>What is found for a sound</h2>",
        "<p>The sound of a held-out clip is given, the pictures of all held-out clips are "
        "searched; best first. Dark green: the very clip. Light green: another clip of the same "
        "class. Red: something else.</p>",
    ]
    for result in ends:
        parts.append(
            f"<div class='example head'><div>{escape(result.cell.setting.describe())}</div>"
            "<div>first</div><div>second</div><div>third</div><div>fourth</div></div>"
        )
        parts += [_example(result.folder, one) for one in result.examples]
    return "\n".join(parts)


def _example(folder: Path, one: Example) -> str:
    query = (
        f"{escape(one.label.get(one.query, 'no label'))}<br>"
        f"<span class='soft'>{escape(one.movie[one.query])}</span>"
    )
    cells = [
        f"<div class='clip'>sound of<br>{_image(folder / STRIPS / f'{one.query}.png')}{query}</div>"
    ]
    for row in one.found:
        label = one.label.get(row, "no label")
        kind = "own" if row == one.query else "wrong"
        if row != one.query and label == one.label.get(one.query):
            kind = "alike"
        cells.append(
            f"<div class='clip {kind}'>{_image(folder / STRIPS / f'{row}.png')}{escape(label)}<br>"
            f"<span class='soft'>{escape(one.movie[row])}</span></div>"
        )
    return f"<div class='example'>{''.join(cells)}</div>"


def _others(folder: Path, found: Verdict) -> str:
    groups = "".join(
        f"<h3>{escape(name.capitalize())}</h3><ul>"
        f"{''.join(f'<li>{escape(line)}</li>' for line in lines) or '<li>none</li>'}</ul>"
        for name, lines in found.effects.items()
    )
    return f"""
<h2>When it helps, and when it does not</h2>
{_figure(folder / "effects.png", EFFECTS)}
<p>Differences in {escape(plots.kind_of(found.judged_by[0]))}, with 95 % intervals; better or worse
means in both modalities.</p>
{groups}
"""


def _account(summary: Summary, found: Verdict, about: dict[str, Any]) -> str:
    head = "".join(f"<th>{escape(f.title)}</th>" for f in FIGURES)
    rows = []
    for row in summary.rows:
        cells = "".join(f"<td>{_interval(row.figures.get(f.key))}</td>" for f in FIGURES)
        rows.append(
            f"<tr><td>{escape(row.setting.corpus)}</td><td>{escape(row.setting.describe())}</td>"
            f"<td>{_interval(row.loss)}</td>{cells}</tr>"
        )
    chance = "".join(
        f"<td>{summary.rows[0].chance.get(f.key, float('nan')):.3f}</td>" for f in FIGURES
    )
    corpora = "".join(
        f"<li><b>{escape(corpus['name'])}</b>: {escape(corpus['data'])}</li>"
        for corpus in about["corpora"]
    )
    return f"""
<h2>All figures</h2>
<div class="wide"><table><tr><th>corpus</th><th>setting</th><th>loss</th>{head}</tr>{"".join(rows)}
<tr><td>{escape(summary.rows[0].setting.corpus)}</td><td>chance</td><td></td>{chance}</tr></table></div>
<h2>How it was made</h2>
<p>{about["num_runs"]} runs of {about["study"]["steps"]} steps, {about["study"]["seeds"]} seeds a
setting, {about["cpu_seconds"] / 3600:.2f} CPU hours in all, on {escape(about["hardware"])},
{about["date"]}; reelshards {about["versions"]["reelshards"]}, torch
{escape(about["versions"]["torch"])}. All settings stand in <code>study.json</code>.</p>
<ul>{corpora}</ul>
<ul>{"".join(f"<li>{escape(text)}</li>" for text in found.caveats)}</ul>
<p class="soft">The question is that of arXiv:2205.00073. Films, models, settings and all figures
here are ours; none is that paper's.</p>
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
