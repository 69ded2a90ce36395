"""What a person should know about movies that are in a dataset, and about files that are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.run import Summary
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema import MovieRow

#: Movies that a line names; the others are counted.
_MAX_NAMES = 5


def summary_notes(summary: Summary) -> Iterator[str]:
    """Lines about a run that has ended."""
    yield from movie_notes(summary.rows)
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
    if summary.passed_over:
        num_files = sum(count for _, count in summary.passed_over)
        kinds = sorted(summary.passed_over, key=lambda item: (-item[1], item[0]))
        described = ", ".join(f"{kind} {count}" for kind, count in kinds)
        yield f"{num_files} files or folders of the corpus were passed over: {described}"


def movie_notes(rows: Sequence[MovieRow]) -> Iterator[str]:
    """Lines about movies that are not whole."""
    incomplete = [row for row in rows if row.status == "done" and row.missing_ns]
    if incomplete:
        described = [f"{row.movie_id} ({row.missing_ns / NANOSECONDS:.1f} s)" for row in incomplete]
        yield (
            f"{len(incomplete)} movies were cut off and lack their end: {_names(described)}; "
            "replace the files, or use --incomplete fail"
        )


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
