"""The account of a dataset as a table and, on wish, as a self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.console.display import movies_table
from pipeline.run import film_hours
from shards_spec.errors import InputError
from shards_spec.reader import Dataset
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema import MovieRow, movie_rows

_PAGE_WIDTH = 150


def print_report(console: Console, dataset: Dataset, html: str) -> int:
    """Print the report; write it to the file `html` too unless that is empty. 1 with failures."""
    rows = movie_rows(dataset.movies)
    _print(console, dataset, rows)
    if html:
        with Path("/dev/null").open("w") as sink:
            page = Console(record=True, width=_PAGE_WIDTH, file=sink)
            _print(page, dataset, rows)
        try:
            Path(html).write_text(page.export_html(inline_styles=True), "utf-8")
        except OSError as error:
            raise InputError(f"cannot write {html}: {error.strerror}") from error
        console.print(f"wrote {html}")
    return 1 if any(row.status in ("failed", "quarantined") for row in rows) else 0


def _print(console: Console, dataset: Dataset, rows: list[MovieRow]) -> None:
    done = [row for row in rows if row.status == "done"]
    size = sum(row.shard_bytes for row in done)
    console.print(f"dataset {dataset.storage.uri}, recipe {dataset.recipe.fingerprint}")
    console.print(
        f"{len(done)} movies, {film_hours(done):.2f} h, {dataset.clips.num_rows} clips, "
        f"{size / 1e6:.1f} MB; decoded in {sum(row.decode_seconds for row in done) / 3600:.3f} "
        f"CPU hours of ffmpeg"
    )
    console.print(_done_table(done))
    missing = [row for row in rows if row.status != "done"]
    if missing:
        console.print(movies_table("without clips", missing))


def _done_table(rows: list[MovieRow]) -> Table:
    table = Table(title="movies", title_justify="left")
    for name in ("movie", "length", "clips", "dropped", "MB", "video", "applied", "audio"):
        table.add_column(name, overflow="fold")
    for row in rows:
        dropped = {
            "black": row.dropped_black,
            "silent": row.dropped_silent,
            "frozen": row.dropped_frozen,
            "short": row.dropped_too_short,
            "damaged": row.dropped_damaged,
        }
        table.add_row(
            row.movie_id,
            f"{row.duration_ns / NANOSECONDS:.1f} s",
            str(row.num_clips),
            " ".join(f"{name} {count}" for name, count in dropped.items() if count),
            f"{row.shard_bytes / 1e6:.1f}",
            _video(row),
            _applied(row),
            _audio(row),
        )
    return table


def _video(row: MovieRow) -> str:
    rate = f"{row.avg_frame_rate} fps{' VFR' if row.is_vfr else ''}"
    lost = f", {row.video_lost_ns / NANOSECONDS:.1f} s lost" if row.video_lost_ns else ""
    return f"{row.video_codec} {row.video_width}x{row.video_height} {rate}{lost}"


def _applied(row: MovieRow) -> str:
    """What was done to the picture before scaling."""
    words = []
    if row.rotation:
        words.append(f"rotated {row.rotation}")
    if row.sar not in ("", "1:1"):
        words.append(f"SAR {row.sar}")
    if row.crop:
        words.append(f"crop {row.crop}")
    return ", ".join(words)


def _audio(row: MovieRow) -> str:
    words = [f"#{row.audio_track}", row.audio_codec, f"{row.audio_channels} ch", row.audio_language]
    if row.audio_filled_ns:
        words.append(f"filled {row.audio_filled_ns / NANOSECONDS:.2f} s")
    return " ".join(word for word in words if word)
