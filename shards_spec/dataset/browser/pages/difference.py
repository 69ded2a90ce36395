"""Two datasets side by side: recipes, movies, and a movie clip by clip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shards_spec.dataset.browser.comparison import Change, Comparison, MovieDifference, changes
from shards_spec.dataset.browser.pages.clip_list import CLIPS_PER_PAGE, num_clip_pages, pager
from shards_spec.dataset.browser.pages.html import (
    Markup,
    count,
    data_block,
    link,
    section,
    table,
    tag,
    text,
    time_range,
)
from shards_spec.dataset.browser.pages.shell import Place, clip_file, clip_page, movie_page, page

#: Movies in the table; more are only counted.
MAX_MOVIES = 20_000

_COLUMNS = (
    ("movie", "movie"),
    ("in", "text"),
    ("equal clips", "count"),
    ("changed clips", "count"),
    ("only in the first", "count"),
    ("only in the second", "count"),
    ("what differs about the movie", "text"),
)

_FILTERS = {
    "differing": "movies that differ",
    "changed": "movies with changed clips",
    "first": "movies only in the first",
    "second": "movies only in the second",
}

_WHERE = {"both": "both", "first": "only the first", "second": "only the second"}


def difference_page(place: Place, comparison: Comparison, names: tuple[str, str]) -> bytes:
    """`difference.html`."""
    movies = comparison.movies
    settings = comparison.settings
    return page(
        place,
        "Difference",
        tag("p", tag("b", "first: "), names[0], tag("br"), tag("b", "second: "), names[1]),
        _verdict(comparison),
        section(
            "Recipes and versions",
            _changes("Settings that differ", settings) if settings else tag("p", "All equal."),
        ),
        section("Why clips are in one dataset only", _absences(comparison)),
        section("Columns of clips that differ", _clip_columns(comparison)),
        section(
            "Movies",
            tag("div", _plain_table(place, movies), id="table", class_="sortable"),
            data_block(
                "table-data",
                {
                    "columns": [{"label": label, "type": kind} for label, kind in _COLUMNS],
                    "rows": [_row(place, movie) for movie in movies[:MAX_MOVIES]],
                    "filters": [{"name": name, "label": label} for name, label in _FILTERS.items()],
                    "href": [place.to_root("difference/"), "/1.html"],
                    "noun": "movies",
                },
            ),
        ),
    )


def _verdict(comparison: Comparison) -> Markup:
    movies = comparison.movies
    differing = sum(not movie.is_equal for movie in movies)
    sums = {
        "equal": sum(movie.equal for movie in movies),
        "changed": sum(movie.changed for movie in movies),
        "only in the first": sum(movie.only_first for movie in movies),
        "only in the second": sum(movie.only_second for movie in movies),
    }
    if not differing and not comparison.settings:
        return tag("p", "The two datasets are equal.", class_="same")
    cards = [("movies that differ", f"{differing:,}", f"of {count(len(movies), 'movie')}")]
    cards += [
        (f"clip {name}" if number == 1 else f"clips {name}", f"{number:,}", "")
        for name, number in sums.items()
    ]
    items = (
        tag("li", tag("b", value), " ", tag("span", name), tag("small", note))
        for name, value, note in cards
    )
    return tag("ul", *items, class_="cards", aria_label="Totals")


def _changes(caption: str, found: Iterable[Change]) -> Markup:
    rows = ((item.name, text(item.first, 300), text(item.second, 300)) for item in found)
    return table(caption, ("name", "first", "second"), rows)


def _clip_columns(comparison: Comparison) -> Markup:
    columns = comparison.clip_columns
    if not columns:
        return tag("p", "None, among the clips that both have.")
    rows = sorted(columns.items(), key=lambda item: -item[1])
    meaning = {"crc32c": "bytes of the clip"}
    return table(
        "Clips that both have, by column that differs",
        ("column", "clips"),
        ((meaning.get(name, name), f"{number:,}") for name, number in rows),
    )


def _absences(comparison: Comparison) -> Markup:
    names = (("first", "second"), ("second", "first"))
    rows = [
        (f"only in the {there}", f"in the {here}, {reason}", number)
        for (here, there), counts in zip(names, comparison.absences, strict=True)
        for reason, number in sorted(counts.items(), key=lambda item: -item[1])
    ]
    if not rows:
        return tag("p", "All clips are in both.")
    cells = ((where, why, f"{number:,}") for where, why, number in rows)
    return table("Clips in one dataset only", ("clips", "why", "number"), cells)


def _row(place: Place, movie: MovieDifference) -> list[Any]:
    flags = [] if movie.is_equal else ["differing"]
    if movie.changed:
        flags.append("changed")
    if movie.where != "both":
        flags.append(movie.where)
    if not place.has_difference_of(movie.movie_id):
        flags.append("unlinked")
    return [
        movie.movie_id,
        _WHERE[movie.where],
        movie.equal,
        movie.changed,
        movie.only_first,
        movie.only_second,
        ", ".join(movie.columns)[:200],
        flags,
    ]


def _plain_table(place: Place, movies: list[MovieDifference]) -> Markup:
    """Movies that differ, without the script, which replaces this."""
    differing = [movie for movie in movies if not movie.is_equal][:CLIPS_PER_PAGE]
    rows = (
        (
            row[0]
            if "unlinked" in row[-1]
            else link(place.to_root(f"difference/{row[0]}/1.html"), row[0]),
            *row[1:-1],
        )
        for row in (_row(place, movie) for movie in differing)
    )
    return table(
        f"The first {count(len(differing), 'movie')} that differ; the others need JavaScript",
        [label for label, _ in _COLUMNS],
        rows,
    )


def movie_difference_page(
    place: Place, other: Place, comparison: Comparison, movie_id: str, number: int
) -> bytes:
    """`difference/<movie_id>/<number>.html`; `other` is the place among the second's pages."""
    sides = []
    for catalog in (comparison.first, comparison.second):
        has_it = movie_id in catalog
        sides.append({k: str(v) for k, v in catalog.movie(movie_id).items()} if has_it else {})
    pairs = pair_clips(*comparison.clip_rows(movie_id))
    pages = num_clip_pages(len(pairs))
    part = pairs[(number - 1) * CLIPS_PER_PAGE : number * CLIPS_PER_PAGE]
    links = [
        link(side.to(movie_page(movie_id)), f"in the {name} dataset")
        for side, name, values in ((place, "first", sides[0]), (other, "second", sides[1]))
        if values
    ]
    return page(
        place,
        f"Difference of {movie_id}",
        tag("nav", *links, aria_label="Both datasets", class_="parts"),
        section("Movie", _changes("Columns that differ", changes(*sides))),
        section(
            "Clip by clip",
            pager(place.to_root, f"difference/{movie_id}", number, pages),
            table(
                f"Clips {(number - 1) * CLIPS_PER_PAGE + 1:,} to "
                f"{(number - 1) * CLIPS_PER_PAGE + len(part):,} of {len(pairs):,}",
                ("clip", "first", "second", "result"),
                (_cells(place, other, comparison, left, right) for left, right in part),
            ),
        ),
    )


_Row = dict[str, Any]


def pair_clips(first: list[_Row], second: list[_Row]) -> list[tuple[_Row | None, _Row | None]]:
    """Clips with the same id side by side, in the order of time; None where one has no such."""
    left = {row["clip_id"]: row for row in first}
    right = {row["clip_id"]: row for row in second}
    ids = sorted({**left, **right}, key=lambda name: (left.get(name) or right[name])["start_ns"])
    return [(left.get(name), right.get(name)) for name in ids]


def _cells(
    place: Place, other: Place, comparison: Comparison, left: _Row | None, right: _Row | None
) -> tuple[object, ...]:
    row = right if left is None else left
    assert row is not None
    span = row["movie_id"], row["start_ns"], row["end_ns"]
    return (
        row["clip_number"],
        _side(place, left) if left else _absent(comparison.absent_from_first.why(*span)),
        _side(other, right) if right else _absent(comparison.absent_from_second.why(*span)),
        _result(left, right),
    )


def _absent(why: str) -> Markup:
    return tag("span", "not there: ", text(why, 200), class_="dim")


def _side(place: Place, row: _Row) -> Markup:
    times = time_range(row["start_ns"], row["end_ns"])
    if not place.has_clip(row["clip_id"]):
        return text(times)
    image = tag(
        "img",
        src=place.to(clip_file(row["clip_id"], "thumb.jpg")),
        alt=f"Frame of {row['clip_id']}",
        loading="lazy",
    )
    return link(place.to(clip_page(row["clip_id"])), image, tag("span", times), class_="thumb")


def _result(left: _Row | None, right: _Row | None) -> Markup:
    if left is None or right is None:
        return tag("span", f"only in the {'second' if left is None else 'first'}", class_="differs")
    ignored = ("shard", "tar_offset", "tar_bytes", "crc32c")
    differing = [name for name in left if name not in ignored and left[name] != right.get(name)]
    if not differing and left["crc32c"] == right["crc32c"]:
        return tag("span", "equal bytes", class_="same")
    words = ", ".join(f"{name}: {left[name]} → {right.get(name)}" for name in differing)
    return tag("span", text(words or "other bytes, equal measurements", 400), class_="differs")
