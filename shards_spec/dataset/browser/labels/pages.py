"""The pages of labels: which there are, and all of a table to be searched."""

from __future__ import annotations

from typing import Any

from shards_spec.dataset.browser.labels.clip_labels import LabelCatalog
from shards_spec.dataset.browser.pages.html import (
    Markup,
    clock,
    data_block,
    link,
    section,
    shortened,
    table,
    tag,
)
from shards_spec.dataset.browser.pages.shell import Place, clip_page, page
from shards_spec.recipe import NANOSECONDS

LABELS_PAGE = "labels.html"

#: Rows on one page of a table; more are on further pages.
ROWS_PER_PAGE = 10_000

#: Rows that are in the page itself, for browsers without scripts.
_PLAIN_ROWS = 200

#: Labels in the list of a table, and in its filter.
_MAX_COUNTS, _MAX_FILTERS = 100, 50

#: Characters of a text in a table.
_MAX_TEXT = 200

_COLUMNS = (
    ("clip", "movie"),
    ("movie", "text"),
    ("time", "clock"),
    ("label", "text"),
    ("text", "text"),
    ("share of the clip", "text"),
)


def labels_path(name: str, number: int = 1) -> str:
    """Path of a page of a table, from 1."""
    return f"labels/{name}/{number}.html"


def num_table_pages(catalog: LabelCatalog, name: str) -> int:
    """How many pages a table takes."""
    num_rows = int(catalog.table(name).num_rows)
    return max(1, -(-num_rows // ROWS_PER_PAGE))


def labels_page(place: Place, catalog: LabelCatalog) -> bytes:
    """`labels.html`: the tables of labels, and the most frequent labels of each."""
    rows = [
        (
            link(place.to(labels_path(info.name)), info.name),
            " and ".join(
                word for word, has in (("labels", info.has_labels), ("text", info.has_text)) if has
            ),
            f"{info.num_ranges:,}",
            f"{info.num_movies:,}",
            f"{info.num_clips:,}",
        )
        for info in catalog.infos
    ]
    if not rows:
        words = "None. The command `reelshards label` imports some."
        return page(place, "Labels and texts", tag("p", words))
    heads = ("name", "kind", "ranges", "movies", "clips")
    counts = [_counts(place, catalog, info.name) for info in catalog.infos if info.has_labels]
    return page(place, "Labels and texts", table("Imported", heads, rows), *counts)


def _counts(place: Place, catalog: LabelCatalog, name: str) -> Markup:
    counts = catalog.counts(name)
    shown = counts[:_MAX_COUNTS]
    more = (
        f" (the {len(shown)} most frequent of {len(counts):,})" if len(counts) > len(shown) else ""
    )
    rows = ((shortened(label, _MAX_TEXT), f"{number:,}") for label, number in shown)
    target = link(place.to(labels_path(name)), "All clips with them")
    return section(
        f"Labels of {name}", table(f"Clips by label{more}", ("label", "clips"), rows), target
    )


def table_page(place: Place, catalog: LabelCatalog, name: str, number: int) -> bytes:
    """`labels/<name>/<number>.html`: clips with their labels and texts, to be searched."""
    pages = num_table_pages(catalog, name)
    part = catalog.table(name).slice((number - 1) * ROWS_PER_PAGE, ROWS_PER_PAGE).to_pylist()
    rows = [_row(place, row) for row in part]
    present = {flag for row in rows for flag in row[-1]}
    filters = [
        {"name": _flag(label), "label": shortened(label, 80)}
        for label, _ in catalog.counts(name)[:_MAX_FILTERS]
        if _flag(label) in present
    ]
    data = {
        "columns": [{"label": label, "type": kind} for label, kind in _COLUMNS],
        "rows": rows,
        "filters": filters,
        "href": [place.to("clip/"), "/index.html"],
        "noun": "labels",
    }
    title = f"Labels {name}" if pages == 1 else f"Labels {name}, part {number} of {pages}"
    return page(
        place,
        title,
        tag("p", link(place.to(LABELS_PAGE), "All labels and texts")),
        _parts(place, name, number, pages),
        tag("div", _plain_table(place, rows), id="table", class_="sortable"),
        data_block("table-data", data),
    )


def _row(place: Place, row: dict[str, Any]) -> list[Any]:
    clip_id, label = row["clip_id"], row["label"] or ""
    flags = [_flag(label)] if label else []
    return [
        clip_id,
        row["movie_id"],
        row["start_ns"] / NANOSECONDS,
        shortened(label, _MAX_TEXT),
        shortened(row["text"] or "", _MAX_TEXT),
        _share(row["overlap"]),
        flags if place.has_clip(clip_id) else [*flags, "unlinked"],
    ]


def _flag(label: str) -> str:
    """A name of a filter, which no other flag can be."""
    return f"={label}"


def _share(overlap: float) -> str:
    return f"{100 * overlap:.0f} %"


def _parts(place: Place, name: str, number: int, pages: int) -> Markup:
    if pages == 1:
        return Markup()
    links = (
        link(
            place.to(labels_path(name, other)),
            f"part {other}",
            aria_current="page" if other == number else None,
        )
        for other in range(1, pages + 1)
    )
    return tag("nav", *links, aria_label="Parts of the table", class_="parts")


def _plain_table(place: Place, rows: list[list[Any]]) -> Markup:
    """The first rows without the script, which replaces this."""
    shown = rows[:_PLAIN_ROWS]
    return table(
        f"The first {len(shown):,} labels; scripts are needed for the others",
        [label for label, _ in _COLUMNS],
        (
            (
                link(place.to(clip_page(row[0])), row[0]) if place.has_clip(row[0]) else row[0],
                row[1],
                clock(round(row[2] * NANOSECONDS)),
                *row[3:-1],
            )
            for row in shown
        ),
    )
