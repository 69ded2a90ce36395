"""The clips of a movie: a contact sheet, and a table in pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shards_spec.dataset.browser.labels import ClipLabel
from shards_spec.dataset.browser.pages.html import (
    Markup,
    clock,
    count,
    link,
    seconds,
    section,
    shortened,
    table,
    tag,
    time_range,
)
from shards_spec.dataset.browser.pages.shell import Place, clip_file, clip_page
from shards_spec.recipe import NANOSECONDS

#: Clips in the table of one page, and images in its contact sheet.
CLIPS_PER_PAGE, SHEET_CLIPS = 200, 24


def num_clip_pages(num_clips: int) -> int:
    """How many pages the table of clips takes."""
    return max(1, -(-num_clips // CLIPS_PER_PAGE))


def pager(to: Callable[[str], str], folder: str, number: int, pages: int) -> Markup:
    """Links to the first, the last and the nearest pages `<folder>/<n>.html`."""
    if pages == 1:
        return Markup()
    nearby = sorted({1, pages, *range(max(1, number - 3), min(pages, number + 3) + 1)})
    links = (
        link(
            to(f"{folder}/{other}.html"),
            f"page {other}",
            aria_current="page" if other == number else None,
        )
        for other in nearby
    )
    return tag("nav", *links, aria_label="Pages of clips", class_="parts")


def clip_list(
    place: Place,
    movie_id: str,
    clips: pa.Table,
    number: int,
    labels: Mapping[str, Sequence[ClipLabel]],
) -> Markup:
    if not clips.num_rows:
        return Markup()
    if not place.lists_clips(movie_id):
        return section("Clips", tag("p", "The clips of this movie are not part of this report."))
    pages = num_clip_pages(clips.num_rows)
    part = clips.slice((number - 1) * CLIPS_PER_PAGE, CLIPS_PER_PAGE)
    rows = part.to_pylist()
    return section(
        "Clips",
        pager(place.to, f"movie/{movie_id}", number, pages),
        _sheet(place, rows),
        table(
            _caption((number - 1) * CLIPS_PER_PAGE, len(rows), clips.num_rows),
            (*_CLIP_HEADS, "labels and texts") if labels else _CLIP_HEADS,
            ((*_clip_cells(place, row), *_label_cells(row, labels)) for row in rows),
            class_="clips",
        ),
    )


def _caption(before: int, shown: int, total: int) -> str:
    if shown == total:
        return count(total, "clip")
    return f"Clips {before + 1:,} to {before + shown:,} of {total:,}"


#: Characters of the labels and texts of a clip.
_MAX_LABELS = 300

_CLIP_HEADS = ("clip", "time", "shot", "cuts", "brightness", "motion", "loudness", "audio filled")


def _clip_cells(place: Place, row: Mapping[str, Any]) -> tuple[object, ...]:
    clip_id = row["clip_id"]
    name = str(row["clip_number"])
    return (
        link(place.to(clip_page(clip_id)), f"clip {name}") if place.has_clip(clip_id) else name,
        time_range(row["start_ns"], row["end_ns"]),
        row["shot_id"],
        row["num_cuts"],
        f"{row['luma_mean']:.0f}",
        f"{row['motion']:.2f}",
        f"{row['audio_rms_dbfs']:.1f} dB",
        seconds(row["filled_audio_ns"]),
    )


def _label_cells(
    row: Mapping[str, Any], labels: Mapping[str, Sequence[ClipLabel]]
) -> tuple[str, ...]:
    """What a movie with labels has in a further column."""
    if not labels:
        return ()
    words = "; ".join(item.words for item in labels.get(row["clip_id"], ()))
    return (shortened(words, _MAX_LABELS),)


def _sheet(place: Place, rows: list[dict[str, Any]]) -> Markup:
    """The contact sheet: images of clips spread evenly over those of the page."""
    shown = [row for row in rows if place.has_clip(row["clip_id"])]
    picks = np.unique(np.linspace(0, len(shown) - 1, min(SHEET_CLIPS, len(shown))).round())
    items = []
    for pick in picks.astype(int).tolist():
        row = shown[pick]
        # The thumbnail shows the middle frame, which may be of another shot than the first one.
        middle = row["num_frames"] // 2
        shown_at = clock(row["start_ns"] + round(middle / row["fps"] * NANOSECONDS))
        image = tag(
            "img",
            src=place.to(clip_file(row["clip_id"], "thumb.jpg")),
            alt=f"Middle frame of clip {row['clip_number']}, at {shown_at}",
            loading="lazy",
        )
        target = place.to(clip_page(row["clip_id"]))
        label = f"clip {row['clip_number']}, frame at {shown_at}"
        items.append(tag("li", link(target, image, tag("span", label))))
    return tag("ul", *items, class_="sheet", aria_label="Contact sheet") if items else Markup()
