"""What people see of a run: the progress line, a line per event, and the summary.

On a terminal one line is redrawn in place; in a log file there is one line per event.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.console.notes import partial_movies_table, summary_notes
from pipeline.engine.events import AttemptFailed, Event, MovieFinished
from pipeline.run.progress import OnProgress, Progress
from pipeline.run.pruning import Prunable
from pipeline.run.summary import Summary, movie_hours
from shards_spec.cli import ExitCode, PlainConsole, new_console, print_json
from shards_spec.redaction import plain, redacted
from shards_spec.schema import MovieRow
from shards_spec.schema.tables import row_values

_LOG_EVERY_SECONDS = 10.0


class Display:
    """Shows the progress of a run; use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        first = Text("comparing the corpus with the dataset")
        self._live = Live(first, console=console, refresh_per_second=4, transient=True)
        self._logged = time.monotonic()

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress, event: Event | None) -> None:
        """Show how far the run is and what just happened."""
        match event:
            case MovieFinished():
                self._print_finished(event.row, progress)
            case AttemptFailed():
                line = Text(plain(f"retry    {event.movie_id}: {event.message}"), "yellow")
                self._console.print(line, soft_wrap=True)
        if self._console.is_terminal:
            self._live.update(Text(progress_line(progress)))
        elif time.monotonic() - self._logged > _LOG_EVERY_SECONDS:
            self._logged = time.monotonic()
            self._console.print(progress_line(progress))

    def _print_finished(self, row: MovieRow, progress: Progress) -> None:
        named = f"{progress.view}: " if progress.view else ""
        count = (
            f"{named}[{progress.movies_kept + progress.movies_finished}/{progress.movies_total}]"
        )
        if row.status == "done":
            line = Text(
                f"done     {row.movie_id}  {row.num_clips} clips, {row.num_shards} shards, "
                f"{row.shard_bytes / 1e6:.1f} MB  {count}"
            )
        else:
            line = Text(plain(f"{row.status}  {row.movie_id}: {row.error}  {count}"), "red")
        self._console.print(line, soft_wrap=True)


def progress_line(progress: Progress) -> str:
    """One line: movies, clips, speed, time left, failures."""
    parts = [
        f"movies {progress.movies_kept + progress.movies_finished}/{progress.movies_total}",
        f"clips {progress.clips}",
        f"{progress.movie_hours_per_hour:.1f} movie-hours/hour",
        f"ETA {_clock(progress.eta_seconds)}",
        f"failures {progress.movies_failed}",
    ]
    if progress.retries:
        parts.append(f"retries {progress.retries}")
    return "  ".join(parts)


def run_shown(work: Callable[[OnProgress], Summary], out: str, *, as_json: bool) -> ExitCode:
    """Do the work under a live display, then print the summary: as tables, or as JSON.

    `work` gets the function that shows its progress; `out` is the dataset's URI.
    """
    console = new_console()
    with Display(PlainConsole(stderr=True) if as_json else console) as display:
        summary = work(display.show)
    if as_json:
        print_json(summary_json(summary))
    else:
        print_summary(console, summary, out)
    return ExitCode.SOME_FAILED if summary.failed else ExitCode.DONE


def views_run_shown(
    work: Callable[[OnProgress], Sequence[Summary]], outs: Mapping[str, str], *, as_json: bool
) -> ExitCode:
    """The same for a run that makes several datasets, `outs` by the names of the views."""
    console = new_console()
    with Display(PlainConsole(stderr=True) if as_json else console) as display:
        summaries = work(display.show)
    if as_json:
        named = zip(outs, map(summary_json, summaries), strict=True)
        print_json({"views": dict(named)})
    else:
        for out, summary in zip(outs.values(), summaries, strict=True):
            print_summary(console, summary, out)
    is_short = any(summary.failed for summary in summaries)
    return ExitCode.SOME_FAILED if is_short else ExitCode.DONE


def print_summary(console: Console, summary: Summary, out: str) -> None:
    """Totals, what was dropped, and every movie that is missing with the reason."""
    rows = summary.rows
    done = [row for row in rows if row.status == "done"]
    table = Table(title="preprocessing", show_header=False, title_justify="left")
    table.add_row("movies", _movie_counts(summary))
    table.add_row("clips", f"{sum(row.num_clips for row in done)}")
    table.add_row("dropped", dropped_clips(done) or "none")
    not_chosen = sum(row.clips_not_chosen for row in done)
    if not_chosen:
        table.add_row("not chosen", f"{not_chosen}")
        table.add_row("decoding", decoding_cost(done))
    table.add_row("shards", _shards(done))
    table.add_row("length", f"{movie_hours(done):.2f} h")
    speed = summary.progress.movie_hours_per_hour
    wall = f"{summary.wall_seconds:.0f} s"
    table.add_row("time", f"{wall}, {speed:.1f} movie-hours/hour" if speed else wall)
    table.add_row("dataset", plain(redacted(out)))
    console.print(table)
    for title, missing in (("failed", summary.failed), ("without usable clips", summary.skipped)):
        if missing:
            console.print(movies_table(title, missing))
    partial = partial_movies_table(rows)
    if partial is not None:
        console.print(partial)
    for note in summary_notes(summary):
        console.print(plain(note), soft_wrap=True)
    if summary.work.removed:
        names = ", ".join(summary.work.removed[:5])
        console.print(
            f"{len(summary.work.removed)} movies of the dataset are not in this corpus "
            f"and were kept: {plain(names)}"
        )


def summary_json(summary: Summary) -> dict[str, Any]:
    """The summary as plain values."""
    return {
        "run": asdict(summary.progress),
        "movies": [row_values(row) for row in summary.rows],
        "removed": list(summary.work.removed),
    }


def print_prunable(console: Console, prunable: Prunable, *, removed: bool) -> None:
    """A line per movie that was or would be removed, then the totals."""
    verb = "removed" if removed else "would remove"
    for row in prunable.movies:
        counts = f"{row.num_clips} clips, {row.num_shards} shards"
        console.print(plain(f"{verb} {row.movie_id}: {counts}"))
    console.print(
        f"{verb} {len(prunable.movies)} movies and {len(prunable.stray_shards)} unused shards, "
        f"{prunable.num_clips:,} clips and {prunable.num_bytes:,} bytes in all"
        f"{'' if removed else '; add --yes to remove them'}"
    )


def movies_table(title: str, rows: Sequence[MovieRow]) -> Table:
    """Movies with the reason why they have no clips."""
    table = Table(title=title, title_justify="left")
    for name in ("movie", "status", "class", "attempts"):
        table.add_column(name)
    table.add_column("reason", overflow="fold")
    for row in rows:
        words = (row.movie_id, row.status, row.error_class, str(row.attempts), row.error)
        table.add_row(*map(plain, words))
    return table


def dropped_clips(rows: Sequence[MovieRow]) -> str:
    """How many clips were dropped, by reason; empty when none were."""
    totals = {
        "black": sum(row.dropped_black for row in rows),
        "silent": sum(row.dropped_silent for row in rows),
        "frozen": sum(row.dropped_frozen for row in rows),
        "too short": sum(row.dropped_too_short for row in rows),
        "damaged": sum(row.dropped_damaged for row in rows),
    }
    return ", ".join(f"{count} {reason}" for reason, count in totals.items() if count)


def decoding_cost(rows: Sequence[MovieRow]) -> str:
    """How the video of movies with few clips was decoded, and what that was predicted to cost."""
    seeks = sum(row.decode_route == "seeks" for row in rows)
    real, predicted, one_pass = (
        sum(getattr(row, name) for row in rows)
        for name in ("video_decode_seconds", "predicted_decode_seconds", "predicted_pass_seconds")
    )
    return (
        f"{seeks} of {len(rows)} movies around the chosen clips only; {real:.1f} CPU s, predicted "
        f"{predicted:.1f}, {one_pass:.1f} for all in one pass"
    )


def _movie_counts(summary: Summary) -> str:
    counts = Counter(row.status for row in summary.rows)
    parts = [f"{counts[status]} {status}" for status in sorted(counts)]
    if summary.work.keep:
        parts.append(f"{len(summary.work.keep)} of these were already there")
    reasons = Counter(summary.work.reasons.values())
    parts += [f"{count} processed again because {why}" for why, count in sorted(reasons.items())]
    return ", ".join(parts)


def _shards(rows: Sequence[MovieRow]) -> str:
    size = sum(row.shard_bytes for row in rows)
    return f"{sum(row.num_shards for row in rows)}, {size / 1e6:.1f} MB"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
