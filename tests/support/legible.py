"""Whether a person can read a plot: no legend covers data, and no text is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def require_legible(figure: Figure) -> None:
    """Raises `AssertionError` that names what is covered or cut off."""
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    legends = [*figure.legends, *(axes.legend_ for axes in figure.axes if axes.legend_)]
    for legend in legends:
        for axes in figure.axes:
            assert not legend.get_window_extent().overlaps(axes.bbox), "a legend covers a panel"
    texts = [("legend", legend) for legend in legends]
    texts += [item for axes in figure.axes for item in _texts(axes)]
    frame = figure.bbox
    for name, artist in texts:
        box = artist.get_window_extent()
        inside = min(box.x0, box.y0) >= -1 and box.x1 <= frame.x1 + 1 and box.y1 <= frame.y1 + 1
        assert inside or box.width <= 1, f"{name} is cut off: {box} in {frame}"


def _texts(axes: Axes) -> Iterator[tuple[str, Any]]:
    for name in ("_left_title", "title", "_right_title"):
        title = getattr(axes, name)
        yield f"title {title.get_text()!r}", title
    for axis in (axes.xaxis, axes.yaxis):
        yield f"label {axis.label.get_text()!r}", axis.label
        low, high = sorted(axis.get_view_interval())
        for value, text in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True):
            if low <= value <= high:
                yield f"tick {text.get_text()!r}", text
