"""The command `plot`: the curves of several runs over each other, as PNG, SVG or HTML."""

from __future__ import annotations

import base64
import html
import io
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards_spec.errors import InputError
from trainer.runs.atomic_files import atomic_file
from trainer.runs.bucket import local_copy
from trainer.runs.journal import read_metrics

#: Panels in this order, (metric, title); those that no run has are left out.
PANELS = (
    ("train/loss", "loss"),
    ("train/within_movie_r1", "R@1 within movie, in batch"),
    ("train/global_r1", "R@1 in batch"),
    ("eval/v2a_within_movie_r1", "held-out R@1 within movie, video to audio"),
    ("eval/a2v_within_movie_r1", "held-out R@1 within movie, audio to video"),
    ("eval/v2a_global_r1", "held-out R@1 among all, video to audio"),
    ("eval/a2v_global_r1", "held-out R@1 among all, audio to video"),
    ("eval/class_probe_video", "class probe on video features"),
    ("eval/class_probe_audio", "class probe on audio features"),
    ("eval/movie_probe_video", "movie probe on video features"),
    ("train/within_softmax_mass", "softmax mass of within-movie negatives"),
    ("train/logit_scale", "logit scale"),
    ("optim/lr", "learning rate"),
    ("optim/grad_norm", "gradient norm"),
    ("throughput/clips_per_second", "clips per second"),
    ("data/wait_fraction", "share of time waiting for data"),
)

_STYLES = ("-", "--", ":", "-.")
_COLUMNS = 3
_INCHES = 4.2
_MAX_NAME = 60


@dataclass(frozen=True)
class Curves:
    """The metric lines of a run."""

    name: str
    """Unique among the runs, one line of printable characters."""
    lines: list[dict[str, Any]]

    def values(self, metric: str) -> tuple[list[int], list[float]]:
        """Steps, and values at them."""
        pairs = [(line["step"], line[metric]) for line in self.lines if metric in line]
        return [step for step, _ in pairs], [value for _, value in pairs]


def plot(runs: Sequence[str], out: Path) -> None:
    """Draw the curves of `runs` into `out`, whose ending chooses the format.

    Raises `InputError` for another ending, or a folder without metrics.
    """
    if out.suffix not in (".png", ".svg", ".html"):
        raise InputError(f"--out {out}: the ending must be .png, .svg or .html")
    curves = read_curves(runs)
    image = _drawn(curves, "svg" if out.suffix == ".svg" else "png")
    content = _page(curves, image).encode() if out.suffix == ".html" else image
    try:
        with atomic_file(out) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error}") from error


def read_curves(runs: Sequence[str]) -> list[Curves]:
    """The metrics of each run. Raises `InputError` for a run without any."""
    if not runs:
        raise InputError("plot: name at least one run folder")
    curves = []
    for name, run in zip(_names(runs), runs, strict=True):
        with local_copy(run) as folder:
            lines = read_metrics(folder)
        lines = [line for line in lines if isinstance(line, dict) and "step" in line]
        if not lines:
            raise InputError(f"{run} has no metrics: it is not a run folder, or has just begun")
        curves.append(Curves(name, lines))
    return curves


def _names(runs: Sequence[str]) -> list[str]:
    """Short names: the last part of each path, or all of it where that is not unique."""
    short = [_printable(run.rstrip("/").rpartition("/")[2] or run) for run in runs]
    full = [_printable(run) for run in runs]
    names = short if len(set(short)) == len(short) else full
    return [
        name if names.count(name) == 1 else f"{name} ({number})"
        for number, name in enumerate(names, start=1)
    ]


def _printable(name: str) -> str:
    """Without control characters and marks that change the direction of writing."""
    kept = [" " if unicodedata.category(char).startswith(("C", "Z")) else char for char in name]
    text = "".join(kept)
    return text if len(text) <= _MAX_NAME else f"...{text[-_MAX_NAME:]}"


def _panels(curves: Sequence[Curves]) -> list[tuple[str, str]]:
    present = {metric for run in curves for line in run.lines for metric in line}
    return [(metric, title) for metric, title in PANELS if metric in present]


def _drawn(curves: Sequence[Curves], kind: str) -> bytes:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "plot needs matplotlib, which is not installed: pip install 'reelshards[study]'"
        ) from error
    panels = _panels(curves)
    if not panels:
        raise InputError("plot: none of the runs has a metric that is drawn")
    rows = -(-len(panels) // _COLUMNS)
    # A dollar sign would begin a formula.
    labels = [run.name.replace("$", r"\$") for run in curves]
    # The widest letters of the legend take 0.13 inches; a line, and the space around it, 0.65.
    widest = 0.65 + 0.13 * max(map(len, labels))
    ncols = max(1, min(len(labels), int(_COLUMNS * _INCHES // widest)))
    height = rows * _INCHES * 0.75 + 0.2 * -(-len(labels) // ncols)
    figure = Figure(figsize=(_COLUMNS * _INCHES, height), layout="constrained")
    for number, (metric, title) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, _COLUMNS, number)
        for run_number, run in enumerate(curves):
            steps, values = run.values(metric)
            marker = "o" if len(steps) < 20 else None
            axes.plot(steps, values, linewidth=1.2, marker=marker, ms=3, **_look(run_number))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    handles = [_handle(number) for number in range(len(curves))]
    figure.legend(handles, labels, loc="outside lower center", ncols=ncols, fontsize=9)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes.
        warnings.simplefilter("ignore")
        figure.savefig(buffer, format=kind, dpi=120)
    return buffer.getvalue()


def _handle(number: int) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], **_look(number))


def _look(number: int) -> dict[str, Any]:
    """Ten colors, and other dashes for every further ten runs."""
    return {
        "color": f"C{number % 10}",
        "linestyle": _STYLES[number // 10 % len(_STYLES)],
    }


def _page(curves: Sequence[Curves], image: bytes) -> str:
    """One file, with the image embedded and a table of each run's last values."""
    panels = _panels(curves)
    head = "".join(f"<th>{html.escape(title)}</th>" for _, title in panels)
    rows = []
    for run in curves:
        last = [run.values(metric)[1][-1:] for metric, _ in panels]
        cells = "".join(f"<td>{value[0]:.4g}</td>" if value else "<td></td>" for value in last)
        step = run.lines[-1]["step"]
        rows.append(f"<tr><th>{html.escape(run.name)}</th><td>{step}</td>{cells}</tr>")
    picture = base64.b64encode(image).decode()
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Curves of {len(curves)} runs</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2em; }}
img {{ max-width: 100%; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
td, th {{ border: 1px solid #ccc; padding: .2em .5em; text-align: right; font-weight: normal; }}
</style>
<h1>Curves of {len(curves)} runs</h1>
<img alt="Curves of the runs by step" src="data:image/png;base64,{picture}">
<h2>Last values</h2>
<table><tr><th>run</th><th>step</th>{head}</tr>
{chr(10).join(rows)}
</table>
</html>
"""
