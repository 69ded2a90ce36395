"""The first page: what is in the dataset, what is missing and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from shards_spec.dataset.browser.catalog import Catalog
from shards_spec.dataset.browser.figures import Overview
from shards_spec.dataset.browser.pages.charts import bar, draw_counts, draw_histogram
from shards_spec.dataset.browser.pages.html import (
    Markup,
    count,
    facts,
    join,
    link,
    seconds,
    section,
    size,
    table,
    tag,
    text,
)
from shards_spec.dataset.browser.pages.shell import Place, movie_page, page
from shards_spec.dataset.browser.reasons import STATUSES, drop_meaning
from shards_spec.dataset.inspection import Failure

#: Rows of failures and of groups of copies that are listed; the movie table has all of them.
MAX_LISTED = 200


def overview_page(place: Place, catalog: Catalog, overview: Overview) -> bytes:
    """`index.html`."""
    return page(
        place,
        "Overview",
        _totals(overview),
        _failures(place, overview),
        _drops(place, overview),
        _treatments(place, overview),
        _copies(place, catalog),
        _lookalikes(place, catalog),
        _near_duplicates(place, catalog),
        _streams(overview),
        section(
            "Distributions",
            tag("div", *map(draw_histogram, overview.histograms), class_="charts"),
        ),
        _recipe(overview.summary.recipe, overview),
    )


def _movies_link(place: Place, query: str, words: object) -> Markup:
    """A link to the table of movies, filtered."""
    return link(f"{place.to('movies.html')}#{query}", words)


def _movie(place: Place, movie_id: str) -> Markup:
    return link(place.to(movie_page(movie_id)), movie_id)


def _totals(overview: Overview) -> Markup:
    summary = overview.summary
    total = sum(summary.movies_by_status.values())
    fewest, median, most = summary.clips_per_movie
    cards = (
        (
            "movies with clips",
            f"{summary.movies_by_status.get('done', 0):,}",
            f"of {count(total, 'movie')}",
        ),
        ("hours in clips", f"{summary.clip_hours:,.2f}", f"of {overview.source_hours:,.2f} h"),
        ("clips", f"{summary.num_clips:,}", f"{fewest:,} to {most:,} per movie, median {median:,}"),
        ("stored", size(summary.shard_bytes), count(summary.num_shards, "shard")),
    )
    items = (
        tag("li", tag("b", value), " ", tag("span", name), tag("small", note))
        for name, value, note in cards
    )
    return tag("ul", *items, class_="cards", aria_label="Totals")


def _failures(place: Place, overview: Overview) -> Markup:
    failures = overview.summary.failures
    if not failures:
        return section("Movies without clips", tag("p", "None: every movie has clips."))
    causes = table(
        "Causes",
        ("cause", "status", "movies", "meaning"),
        (
            (
                _movies_link(place, f"{urlencode({'search': cause})}&filter=failed", cause),
                status,
                f"{number:,}",
                STATUSES.get(status, ""),
            )
            for status, cause, number in overview.failure_counts
        ),
    )
    return section(
        "Movies without clips",
        causes,
        table(
            f"Which movies, and why{_of(len(failures))}",
            ("movie", "reason"),
            (_failure(place, failure) for failure in failures[:MAX_LISTED]),
        ),
        _all(place, len(failures), "failed"),
    )


def _failure(place: Place, failure: Failure) -> tuple[object, ...]:
    return (
        _movie(place, failure.movie_id),
        join(
            (
                tag("span", failure.status, class_=f"badge {failure.status}"),
                tag("b", failure.error_class),
                text(failure.error, 300),
            ),
            " ",
        ),
    )


def _of(number: int) -> str:
    return f" (the first {MAX_LISTED} of {number:,})" if number > MAX_LISTED else ""


def _all(place: Place, number: int, name: str) -> Markup:
    if number <= MAX_LISTED:
        return Markup()
    return tag("p", _movies_link(place, f"filter={name}", "All of them"))


def _drops(place: Place, overview: Overview) -> Markup:
    dropped = overview.summary.dropped
    total = sum(dropped.values())
    if not total:
        return section("Dropped clips", tag("p", "None."))
    share = 100 * total / (total + overview.summary.num_clips)
    return section(
        "Dropped clips",
        table(
            f"{count(total, 'clip')} dropped, {share:.1f} % of all",
            ("reason", "", "clips", "meaning"),
            (
                (
                    _movies_link(place, f"filter=dropped_{name}", name.replace("_", " ")),
                    bar(number, max(dropped.values())),
                    f"{number:,}",
                    drop_meaning(name, overview.summary.recipe),
                )
                for name, number in dropped.items()
                if number
            ),
            class_="bars",
        ),
    )


def _treatments(place: Place, overview: Overview) -> Markup:
    rows = (
        (
            _movies_link(place, f"filter={name}", meaning) if number else meaning,
            f"{number:,}",
        )
        for name, meaning, number in overview.treated
    )
    return section("Findings and corrections", table("Movies concerned", (), rows))


def _copies(place: Place, catalog: Catalog) -> Markup:
    groups = catalog.copy_groups
    if not groups:
        return section("Movies from the same source", tag("p", "None."))
    items = (
        tag(
            "li",
            join((_movie(place, name) for name in group[:20]), " = "),
            f" and {len(group) - 20:,} more" if len(group) > 20 else "",
        )
        for group in groups[:MAX_LISTED]
    )
    return section(
        "Movies from the same source",
        tag(
            "p",
            "Their source files have equal fingerprints. Training uses only one movie of each "
            "group.",
        ),
        tag("ul", *items),
        _all(place, len(groups), "copies"),
    )


def _lookalikes(place: Place, catalog: Catalog) -> Markup:
    title = "Movies that look and sound the same"
    is_searched = catalog.dataset.duplicates is not None
    pairs = catalog.unconfirmed_lookalikes
    if not pairs:
        # With a search, shared segments follow.
        return Markup() if is_searched else section(title, tag("p", "None were found."))
    training = (
        "reelshards duplicates did not confirm these pairs, so training uses the clips of both "
        "movies."
        if is_searched
        else "Training uses the clips of both movies, until reelshards duplicates has searched "
        "the dataset."
    )
    rows = (
        (_movie(place, pair.first), _movie(place, pair.second), pair.words)
        for pair in pairs[:MAX_LISTED]
    )
    return section(
        title,
        tag(
            "p",
            "The files differ, but the brightness and loudness of their clips change in the same "
            f"way over time. {training}",
        ),
        table(f"Pairs{_of(len(pairs))}", ("first", "second", "how much"), rows),
        _all(place, len(pairs), "copies"),
    )


def _near_duplicates(place: Place, catalog: Catalog) -> Markup:
    title = "Shared segments"
    if catalog.dataset.duplicates is None:
        return section(title, tag("p", "Not searched yet: run reelshards duplicates."))
    rows = catalog.shared_lengths
    if not rows:
        return section(title, tag("p", "None were found."))
    ordered = sorted(rows.items(), key=lambda item: (-sum(item[1]), item[0]))
    lines = (
        (kind, _movie(place, a), _movie(place, b), f"{len(lengths):,}", seconds(sum(lengths)))
        for (kind, a, b), lengths in ordered[:MAX_LISTED]
    )
    return section(
        title,
        tag(
            "p",
            "These segments look or sound the same. Training uses the clips of one of the movies "
            "only. The total length is that in the first movie; it can differ by about a second "
            "in the other one, because movies are compared in steps of half a second.",
        ),
        table(
            f"Pairs of movies{_of(len(rows))}",
            ("kind", "first", "second", "segments", "total length"),
            lines,
        ),
        _all(place, len(rows), "copies"),
    )


def _streams(overview: Overview) -> Markup:
    throughput = overview.throughput
    speed = "not recorded"
    if throughput.cpu_hours:
        speed = (
            f"{throughput.cpu_hours:,.3f} CPU hours of ffmpeg: "
            f"{throughput.movie_hours_per_cpu_hour:,.1f} hours of movies per CPU hour"
        )
    return section(
        "Streams and throughput",
        tag("div", *map(draw_counts, overview.counts), class_="charts"),
        facts(
            "Throughput",
            (
                ("decoding", speed),
                (
                    "time per movie",
                    f"{throughput.median_wall_seconds:,.1f} s from first task to commit (median)",
                ),
                ("more than one attempt", count(throughput.num_retried, "movie")),
            ),
        ),
    )


def _recipe(recipe: Mapping[str, Any], overview: Overview) -> Markup:
    summary = overview.summary
    rows = [(name, str(value)) for name, value in recipe.items()]
    shapes = sorted(summary.clips_by_shape.items(), key=lambda item: -item[1])[:20]
    about = [
        ("recipe fingerprint", summary.recipe_fingerprint),
        ("format", summary.spec_version),
        ("ffmpeg", summary.ffmpeg_version or "not stated"),
        (
            "frames",
            ", ".join(f"{number:,} clips of {shape}" for shape, number in shapes),
        ),
    ]
    return section(
        "Recipe",
        tag("div", facts("Settings", rows), facts("Made with", about), class_="charts"),
    )
