"""Charts as inline SVG, each with a title and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.browser.figures import Counts, Histogram
from shards_spec.dataset.browser.pages.html import Markup, clock, join, table, tag, text

_WIDTH, _HEIGHT = 400, 120

#: Width of the timeline, in its own units; nothing narrower than one is drawn twice.
TIMELINE_WIDTH = 1_000

#: Height of a lane and of the space between two.
_LANE, _GAP = 26, 8
#: Where the lanes begin: to the left are their names.
_LEFT = 110


def draw_histogram(histogram: Histogram) -> Markup:
    """Bars, the range of values below them, and the numbers in a table that can be opened."""
    peak = max(histogram.counts, default=0) or 1
    width = _WIDTH / len(histogram.counts)
    bins = list(zip(_bin_names(histogram), histogram.counts, strict=True))
    bars = [
        tag(
            "rect",
            tag("title", f"{name} {histogram.unit}: {count:,}"),
            x=f"{place * width + 0.5:.1f}",
            y=f"{_HEIGHT * (1 - count / peak):.1f}",
            width=f"{width - 1:.1f}",
            height=f"{_HEIGHT * count / peak:.1f}",
        )
        for place, (name, count) in enumerate(bins)
        if count
    ]
    summary = f"{histogram.total:,} values, median {_number(histogram.median)} {histogram.unit}"
    labels = _axis(histogram)
    rows = [(name, f"{count:,}") for name, count in bins if count]
    return tag(
        "figure",
        tag("figcaption", tag("strong", histogram.title), " ", tag("span", summary, class_="dim")),
        tag(
            "svg",
            *bars,
            *labels,
            viewBox=f"-2 -4 {_WIDTH + 4} {_HEIGHT + 26}",
            role="img",
            aria_label=f"Histogram: {histogram.title}. {summary}.",
            class_="histogram",
        ),
        tag("p", histogram.note, class_="dim") if histogram.note else Markup(),
        _values(histogram.title, (histogram.unit, "number"), rows),
        class_="chart",
    )


def _bin_names(histogram: Histogram) -> list[str]:
    """The values that each bin counts, in words."""
    names = []
    last = len(histogram.counts) - 1
    for place, (low, edge) in enumerate(pairwise(histogram.edges)):
        high = edge - 1 if histogram.is_whole else edge
        if place == last and histogram.has_higher:
            names.append(f"{_number(low)} or more")
        elif place == 0 and histogram.has_lower:
            names.append(f"{_number(high)} or less")
        else:
            names.append(_number(low) if low == high else f"{_number(low)} to {_number(high)}")
    return names


def _axis(histogram: Histogram) -> list[Markup]:
    low, high = histogram.edges[0], histogram.edges[-1] - histogram.is_whole
    lower, higher = (" or less" * histogram.has_lower, " or more" * histogram.has_higher)
    ends = [(0.0, _number(low) + lower, "start")]
    if not histogram.is_whole:
        ends.append((_WIDTH / 2, _number((low + high) / 2), "middle"))
    if low != high:
        ends.append((_WIDTH, _number(high) + higher, "end"))
    base = tag("line", x1="0", x2=_WIDTH, y1=_HEIGHT, y2=_HEIGHT, class_="axis")
    return [
        base,
        *(
            tag("text", value, x=f"{x:.0f}", y=_HEIGHT + 17, text_anchor=anchor)
            for x, value, anchor in ends
        ),
    ]


def _number(value: float) -> str:
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def draw_counts(counts: Counts) -> Markup:
    """A table whose numbers are also bars."""
    peak = max((number for _, number in counts.values), default=1) or 1
    rows = [(value, bar(number, peak), f"{number:,}") for value, number in counts.values]
    if not rows:
        return Markup()
    return table(counts.title, ("value", "", counts.noun), rows, class_="bars")


def bar(number: float, peak: float) -> Markup:
    """A horizontal bar without text; its number is shown next to it."""
    length = 100 * number / peak if peak else 0
    return tag(
        "svg",
        tag("rect", x="0", y="1", width=f"{length:.1f}", height="8"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="bar",
    )


def _values(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    return tag("details", tag("summary", "Numbers"), table(f"{title}: numbers", heads, rows))


@dataclass(frozen=True)
class Block:
    """A part of a lane of the timeline."""

    start_ns: int
    end_ns: int
    kind: str
    """Class of the style sheet."""
    label: str
    """Shown when the pointer is over it."""
    target: str = ""
    """Page that a click opens."""


@dataclass(frozen=True)
class Lane:
    """A row of the timeline: blocks, or a curve of values in [0, 1]."""

    name: str
    blocks: Sequence[Block] = ()
    curve: NDArray[np.float64] | None = None
    """(num_points, 2): nanoseconds and value."""


def draw_timeline(lanes: Sequence[Lane], duration_ns: int, label: str) -> Markup:
    """Lanes over one time axis. `label` says in words what they show."""
    duration_ns = max(duration_ns, 1)
    parts: list[Markup] = []
    for number, lane in enumerate(lanes):
        top = number * (_LANE + _GAP)
        parts.append(tag("text", lane.name, x="0", y=top + 18))
        parts.append(tag("rect", x=_LEFT, y=top, width=TIMELINE_WIDTH, height=_LANE, class_="lane"))
        parts.extend(_blocks(lane.blocks, top, duration_ns))
        if lane.curve is not None and len(lane.curve):
            parts.append(_curve(lane.curve, top, duration_ns))
    bottom = len(lanes) * (_LANE + _GAP)
    for step, anchor in enumerate(("start", "middle", "middle", "middle", "end")):
        x = _LEFT + TIMELINE_WIDTH * step / 4
        parts.append(
            tag(
                "text",
                clock(duration_ns * step // 4),
                x=f"{x:.0f}",
                y=bottom + 14,
                text_anchor=anchor,
            )
        )
    return tag(
        "svg",
        *parts,
        viewBox=f"0 -2 {_LEFT + TIMELINE_WIDTH} {bottom + 22}",
        role="img",
        aria_label=label,
        class_="timeline",
    )


def _blocks(blocks: Iterable[Block], top: int, duration_ns: int) -> list[Markup]:
    """Blocks that are wide enough to be seen; of several in the same place, the first."""
    parts, last_end = [], -1.0
    for block in blocks:
        scale = TIMELINE_WIDTH / duration_ns
        start = max(block.start_ns * scale, last_end)
        end = min(max(block.end_ns * scale, block.start_ns * scale + 1), TIMELINE_WIDTH)
        if end - start < 0.5:
            continue
        last_end = end
        shape = tag(
            "rect",
            tag("title", block.label),
            x=f"{_LEFT + start:.1f}",
            y=top,
            width=f"{max(end - start - 0.4, 0.4):.1f}",
            height=_LANE,
            class_=block.kind,
        )
        # The tables below have the same links; hundreds of tab stops would not help anybody.
        parts.append(tag("a", shape, href=block.target, tabindex="-1") if block.target else shape)
    return parts


def _curve(curve: NDArray[np.float64], top: int, duration_ns: int) -> Markup:
    x = _LEFT + TIMELINE_WIDTH * curve[:, 0] / duration_ns
    y = top + _LANE - 2 - (_LANE - 4) * np.clip(curve[:, 1], 0, 1)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return tag("polyline", points=points, class_="curve")


def thin_curve(
    times_ns: NDArray[np.int64], values: NDArray[np.floating], low: float, high: float
) -> NDArray[np.float64]:
    """(at most 500, 2): means of neighboring values, scaled so that [low, high] becomes [0, 1]."""
    if not len(values):
        return np.zeros((0, 2))
    edges = np.unique(np.linspace(0, len(values), min(500, len(values)) + 1).astype(np.int64))
    sizes = np.diff(edges)
    means = np.add.reduceat(values.astype(np.float64), edges[:-1]) / sizes
    times = np.add.reduceat(times_ns.astype(np.float64), edges[:-1]) / sizes
    return np.stack([times, (means - low) / max(high - low, 1e-9)], axis=1)


def key(entries: Iterable[tuple[str, str]]) -> Markup:
    """What the colors mean: style class and text."""
    items = (
        tag(
            "li",
            tag(
                "svg",
                tag("rect", width="14", height="14", class_=kind),
                viewBox="0 0 14 14",
                aria_hidden="true",
            ),
            " ",
            text(meaning),
        )
        for kind, meaning in entries
    )
    return tag("ul", join(items), class_="key")
