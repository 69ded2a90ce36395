"""What people should know about movies that are in a dataset, and about files that are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from pipeline.run.summary import Summary
from shards_spec.recipe import NANOSECONDS
from shards_spec.redaction import plain
from shards_spec.schema import MovieRow

#: Movies that a line names; the others are counted.
_MAX_NAMES = 5

#: Audio that is missing or cut for less than this is not worth a line, seconds.
_LEAST_AUDIO_SECONDS = 1.0


def summary_notes(summary: Summary) -> Iterator[str]:
    """Lines about a run that has ended."""
    other = [row.movie_id for row in summary.of_other_versions]
    if other:
        versions = {
            f"reelshards {row.reelshards_version or 'unknown'}, "
            f"ffmpeg {row.ffmpeg_version or 'unknown'}"
            for row in summary.of_other_versions
        }
        yield (
            f"{len(other)} movies were made by other versions ({'; '.join(sorted(versions))}); "
            f"--redo-versions processes them again: {_names(other)}"
        )
    fallbacks = [row for row in summary.rows if row.hardware_fallbacks]
    if fallbacks:
        total = sum(row.hardware_fallbacks for row in fallbacks)
        yield (
            f"warning: the CPU decoded {total} segments that a graphics card should have, of "
            f"{_names([row.movie_id for row in fallbacks])}; {plain(fallbacks[0].hardware_problem)}"
        )
    if summary.passed_over:
        num_files = sum(count for _, count in summary.passed_over)
        kinds = sorted(summary.passed_over, key=lambda item: (-item[1], item[0]))
        described = ", ".join(f"{kind} {count}" for kind, count in kinds)
        yield f"{num_files} files or folders of the corpus were ignored: {described}"
    unreadable = summary.work.unreadable
    if unreadable:
        yield f"{len(unreadable)} commit records could not be read: {_names(unreadable)}"
    if str(summary.leftovers):
        yield f"removed what killed runs had left: {summary.leftovers}"
    if summary.records_failed:
        yield (
            f"{summary.records_failed} writes of the progress record or the event log failed; "
            "the dataset is not affected"
        )


def partial_movies_table(rows: Sequence[MovieRow]) -> Table | None:
    """Every movie that has clips but is not whole, with the reasons; None when all are whole."""
    partial = [(row, reasons) for row in rows if row.status == "done" and (reasons := losses(row))]
    if not partial:
        return None
    table = Table(title="not whole", title_justify="left")
    table.add_column("movie")
    table.add_column("reason", overflow="fold")
    for row, reasons in partial:
        table.add_row(plain(row.movie_id), plain("; ".join(reasons)))
    return table


def losses(row: MovieRow) -> list[str]:
    """What a movie with clips has lost, and why."""
    reasons = []
    if row.missing_ns:
        reasons.append(
            f"cut off, the last {_seconds(row.missing_ns):.1f} s are missing: replace the file, or "
            "use --incomplete fail"
        )
    if row.video_lost_ns:
        reasons.append(f"{_seconds(row.video_lost_ns):.1f} s of video lost: remux the parts")
    if row.dropped_damaged:
        reasons.append(f"{row.dropped_damaged} clips with damaged frames dropped")
    if _seconds(row.audio_filled_ns) >= _LEAST_AUDIO_SECONDS:
        reasons.append(f"{_seconds(row.audio_filled_ns):.1f} s without audio, filled with silence")
    if _seconds(row.audio_cut_ns) >= _LEAST_AUDIO_SECONDS:
        reasons.append(f"{_seconds(row.audio_cut_ns):.1f} s of overlapping audio cut")
    return reasons


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / NANOSECONDS


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
