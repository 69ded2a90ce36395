"""The table of all movies, which the page's script sorts, searches and filters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np

from shards_spec.dataset.browser.catalog import Catalog
from shards_spec.dataset.browser.pages.html import (
    Markup,
    data_block,
    join,
    link,
    shortened,
    table,
    tag,
)
from shards_spec.dataset.browser.pages.shell import Place, movie_page, page
from shards_spec.dataset.browser.reasons import TREATMENTS, drop_filters, movie_flags
from shards_spec.recipe import NANOSECONDS

#: Movies on one page of the site; more are on further pages.
MOVIES_PER_PAGE = 20_000

#: Characters of a text in the table, and of the cause of a failure.
_MAX_TEXT, _MAX_CAUSE = 120, 400

#: Maximum number of other movies with the same content that a row lists.
_MAX_RELATIONS = 5

#: Characters of an address in which the name of the file is looked for.
_MAX_ADDRESS = 2_000

#: Rows that are in the page itself, for browsers without scripts.
_PLAIN_ROWS = 200

#: Label and type of each column. The script formats and compares values by type.
_COLUMNS = (
    ("movie", "movie"),
    ("title or file", "text"),
    ("status", "badge"),
    ("length", "clock"),
    ("clips", "count"),
    ("dropped", "count"),
    ("cropped to", "text"),
    ("audio filled", "seconds"),
    ("video missing", "seconds"),
    ("sync", "text"),
    ("language", "text"),
    ("same as", "links"),
    ("cause of failure", "long"),
)


def num_movie_pages(catalog: Catalog) -> int:
    """How many pages the table takes."""
    return max(1, -(-len(catalog.movie_ids) // MOVIES_PER_PAGE))


def movies_path(number: int) -> str:
    """Path of a page of the table, from 1."""
    return "movies.html" if number == 1 else f"movies-{number}.html"


def movies_page(place: Place, catalog: Catalog, number: int = 1) -> bytes:
    """`movies.html`: one page of at most `MOVIES_PER_PAGE` movies."""
    first = (number - 1) * MOVIES_PER_PAGE
    filters = TREATMENTS | drop_filters(catalog)
    rows = list(_rows(catalog, first, list(filters)))
    data = {
        "columns": [{"label": label, "type": kind} for label, kind in _COLUMNS],
        "rows": rows,
        "filters": [{"name": name, "label": label} for name, label in filters.items()],
        "href": [place.to("movie/"), "/1.html"],
        "noun": "movies",
    }
    pages = num_movie_pages(catalog)
    return page(
        place,
        "Movies" if pages == 1 else f"Movies, part {number} of {pages}",
        _parts(place, number, pages),
        tag("div", _plain_table(place, rows), id="table", class_="sortable"),
        data_block("table-data", data),
    )


def _rows(catalog: Catalog, first: int, names: list[str]) -> Iterator[list[Any]]:
    """Values of `_COLUMNS` and, last, the names of the filters that a movie passes."""
    movies = catalog.dataset.movies.slice(first, MOVIES_PER_PAGE)
    flags = movie_flags(catalog)
    passed = np.stack([flags[name] for name in names], axis=1)[first : first + MOVIES_PER_PAGE]
    for row, is_passed in zip(movies.to_pylist(), passed.tolist(), strict=True):
        movie_id = row["movie_id"]
        cause = f"{row['error_class']}: {row['error']}" if row["error_class"] else ""
        yield [
            movie_id,
            _short(title_of(row)),
            row["status"],
            # Zero means unknown.
            row["duration_ns"] / NANOSECONDS if row["duration_ns"] else None,
            row["num_clips"],
            sum(value or 0 for name, value in row.items() if name.startswith("dropped_")),
            _short(kept_area(row)),
            row["audio_filled_ns"] / NANOSECONDS if row["num_clips"] else None,
            _missing_ns(row) / NANOSECONDS if row["num_clips"] else None,
            _short(sync_words(row)),
            "unknown" if row["audio_language"] == "und" else _short(row["audio_language"]),
            _relations(catalog, movie_id),
            _short(cause, _MAX_CAUSE),
            [name for name, is_in in zip(names, is_passed, strict=True) if is_in],
        ]


def title_of(movie: Mapping[str, Any]) -> str:
    """What the manifest calls a movie, else the name of its file."""
    title = movie.get("title")
    if title is not None and str(title).strip():
        return str(title)
    address = shortened(movie["source_uri"], _MAX_ADDRESS)
    return unquote(address.rstrip("/").rpartition("/")[2]) or address


def kept_area(movie: Mapping[str, Any]) -> str:
    """What was kept of the video: `320x136 of 320x180`; empty if nothing was cropped."""
    kept = "x".join(str(movie["crop"]).split(":")[:2])
    full = [movie["video_width"], movie["video_height"]]
    if movie["rotation"] in (90, 270):
        full.reverse()
    return f"{kept} of {full[0]}x{full[1]}" if kept and all(full) else kept


def _missing_ns(movie: Mapping[str, Any]) -> int:
    """Video that the source lacks, at its end or within; older datasets lack the columns."""
    return sum(movie.get(name) or 0 for name in ("missing_ns", "video_lost_ns"))


def _relations(catalog: Catalog, movie_id: str) -> list[list[str]]:
    """Movies with the same content and how much of it they share, at most 5."""
    shares = {pair.other(movie_id): pair.share for pair in catalog.lookalikes_of.get(movie_id, ())}
    for span in reversed(catalog.spans_of.get(movie_id, ())):
        if span.links:
            shares[span.other] = "whole" if span.kind == "copy" else f"part ({span.kind})"
    shares |= dict.fromkeys(catalog.copies.get(movie_id, ()), "same source")
    return [[other, shares[other]] for other in catalog.same_as(movie_id)[:_MAX_RELATIONS]]


def sync_words(movie: Mapping[str, Any]) -> str:
    """What was done to keep the audio in sync, in words; empty if nothing was."""
    parts = []
    offset = movie["audio_start_offset_ns"] / NANOSECONDS
    if abs(offset) >= 0.0005:
        parts.append(f"starts {offset:+.3f} s")
    if abs(movie["audio_drift_ppm"]) >= 0.05:
        parts.append(f"stretched {movie['audio_drift_ppm']:+.1f} ppm")
    if movie["audio_cut_ns"]:
        parts.append(f"{movie['audio_cut_ns'] / NANOSECONDS:.3f} s cut")
    return ", ".join(parts)


def _short(value: str, limit: int = _MAX_TEXT) -> str:
    shown = shortened(value, limit)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def _parts(place: Place, number: int, pages: int) -> Markup:
    if pages == 1:
        return Markup()
    links = (
        link(
            place.to(movies_path(other)),
            f"part {other}",
            aria_current="page" if other == number else None,
        )
        for other in range(1, pages + 1)
    )
    return tag("nav", *links, aria_label="Parts of the table", class_="parts")


def _plain_table(place: Place, rows: list[list[Any]]) -> Markup:
    """The first movies without the script, which replaces this."""
    return table(
        f"The first {min(len(rows), _PLAIN_ROWS):,} movies; the others need JavaScript",
        [label for label, _ in _COLUMNS],
        (
            (
                link(place.to(movie_page(row[0])), row[0]),
                *(_plain(place, value) for value in row[1:-1]),
            )
            for row in rows[:_PLAIN_ROWS]
        ),
    )


def _plain(place: Place, value: Any) -> object:
    if isinstance(value, list):
        others = (
            join((link(place.to(movie_page(name)), name), f", {share}")) for name, share in value
        )
        return join(others, "; ")
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
