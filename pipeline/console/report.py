"""A dataset's movies as tables and, on request, as a self-contained HTML page."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.console.display import dropped_clips, movies_table
from pipeline.console.notes import partial_movies_table
from pipeline.run.summary import movie_hours
from shards_spec.cli import PlainConsole
from shards_spec.dataset.browser import Comparison, MovieDifference, Site, write_report
from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS
from shards_spec.redaction import plain, redacted, with_paths
from shards_spec.schema import MovieRow
from shards_spec.schema.tables import movie_rows, row_values

_PAGE_WIDTH = 150
#: The page in which rich puts the report. It runs no scripts and loads nothing.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Dataset report</title>
<style>body {{ color: {foreground}; background-color: {background}; }} {stylesheet}</style>
</head>
<body><pre style="font-family: Menlo, Consolas, monospace"><code>{code}</code></pre></body>
</html>
"""


def print_report(console: Console, dataset: Dataset) -> None:
    """Print totals, all movies with clips, and all movies without."""
    rows = movie_rows(dataset.movies)
    done = [row for row in rows if row.status == "done"]
    size = sum(row.shard_bytes for row in done)
    console.print(
        plain(f"dataset {with_paths(redacted(dataset.storage.uri))}, ")
        + f"recipe {dataset.recipe.fingerprint}"
    )
    console.print(
        f"{len(done)} movies, {movie_hours(done):.2f} h, {dataset.clips.num_rows} clips, "
        f"{size / 1e6:.1f} MB; decoded in {sum(row.decode_seconds for row in done) / 3600:.3f} "
        f"CPU hours of ffmpeg"
    )
    console.print(_done_table(done))
    partial = partial_movies_table(rows)
    if partial is not None:
        console.print(partial)
    missing = [row for row in rows if row.status != "done"]
    if missing:
        console.print(movies_table("without clips", missing))


def print_site(console: Console, site: Site) -> None:
    """Print the report, and how the dataset differs from the second one if there is one."""
    print_report(console, site.catalog.dataset)
    if site.other is not None:
        _print_difference(console, site.comparison)


def write_page(dataset: Dataset, path: str) -> None:
    """Write the same as an HTML page. Raises `InputError` when the file cannot be written."""
    page = PlainConsole(record=True, width=_PAGE_WIDTH, file=io.StringIO())
    print_report(page, dataset)
    try:
        Path(path).write_text(page.export_html(inline_styles=True, code_format=_PAGE), "utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def write_pages(site: Site, path: str, num_clips: int) -> list[str]:
    """Write the tables to a file named .html, or all pages to a folder.

    Returns what could not be included. Raises `InputError` when it cannot be written.
    """
    if Path(path).suffix.lower() in (".html", ".htm"):
        write_page(site.catalog.dataset, path)
        return []
    return write_report(site, Path(path), num_clips)


def _print_difference(console: Console, comparison: Comparison) -> None:
    """Print recipe settings and movies that differ from another dataset."""
    other = with_paths(redacted(comparison.second.dataset.storage.uri))
    differing = [movie for movie in comparison.movies if not movie.is_equal]
    console.print(
        plain(f"against {other}: {len(differing)} of {len(comparison.movies)} movies differ"),
        soft_wrap=True,
    )
    if comparison.settings:
        table = Table("setting", "this", "other", title="recipes and versions differ")
        for change in comparison.settings:
            table.add_row(*map(plain, (change.name, change.first, change.second)))
        console.print(table)
    if differing:
        console.print(_differing_table(differing))


def _differing_table(movies: list[MovieDifference]) -> Table:
    table = Table(title="movies that differ", title_justify="left")
    for name in ("movie", "equal", "changed", "only this", "only other", "columns"):
        table.add_column(name, overflow="fold")
    where = {"first": "only in this dataset", "second": "only in the other", "both": ""}
    for movie in movies:
        counts = (movie.equal, movie.changed, movie.only_first, movie.only_second)
        columns = where[movie.where] or ", ".join(movie.columns)
        table.add_row(*map(plain, (movie.movie_id, *map(str, counts), columns)))
    return table


def report_json(site: Site) -> dict[str, Any]:
    """The same as plain values."""
    dataset = site.catalog.dataset
    values = {
        "dataset": dataset.storage.uri,
        "recipe_fingerprint": dataset.recipe.fingerprint,
        "num_clips": dataset.clips.num_rows,
        "movies": [row_values(row) for row in movie_rows(dataset.movies)],
    }
    if site.other is not None:
        comparison = site.comparison
        values["against"] = {
            "dataset": comparison.second.dataset.storage.uri,
            "settings": [asdict(change) for change in comparison.settings],
            "movies": [asdict(movie) for movie in comparison.movies if not movie.is_equal],
        }
    return values


def _done_table(rows: list[MovieRow]) -> Table:
    table = Table(title="movies", title_justify="left")
    for name in ("movie", "length", "clips", "dropped", "MB", "video", "applied", "audio"):
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = (
            row.movie_id,
            f"{row.duration_ns / NANOSECONDS:.1f} s",
            str(row.num_clips),
            dropped_clips([row]),
            f"{row.shard_bytes / 1e6:.1f}",
            _video(row),
            _applied(row),
            _audio(row),
        )
        table.add_row(*map(plain, cells))
    return table


def _video(row: MovieRow) -> str:
    rate = f"{row.avg_frame_rate} fps{' VFR' if row.is_vfr else ''}"
    lost = f", {row.video_lost_ns / NANOSECONDS:.1f} s lost" if row.video_lost_ns else ""
    return f"{row.video_codec} {row.video_width}x{row.video_height} {rate}{lost}"


def _applied(row: MovieRow) -> str:
    """What was done to the frames before scaling."""
    parts = []
    if row.rotation:
        parts.append(f"rotated {row.rotation}")
    if row.sar not in ("", "1:1"):
        parts.append(f"SAR {row.sar}")
    if row.crop:
        parts.append(f"crop {row.crop}")
    return ", ".join(parts)


def _audio(row: MovieRow) -> str:
    parts = [f"#{row.audio_track}", row.audio_codec, f"{row.audio_channels} ch", row.audio_language]
    if row.audio_filled_ns:
        parts.append(f"filled {row.audio_filled_ns / NANOSECONDS:.2f} s")
    return " ".join(part for part in parts if part)
