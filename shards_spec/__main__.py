"""Command line: `python -m shards_spec validate URI` and `python -m shards_spec inspect URI`.

Exit codes: 0 all is well; 1 checks failed, and are listed; 2 bad arguments or unusable input.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from shards_spec.errors import InputError, ReelshardsError
from shards_spec.inspection import (
    Summary,
    find_clip,
    read_clip,
    summarise,
    write_pictures,
)
from shards_spec.reader import open_dataset
from shards_spec.schema import row_values
from shards_spec.validation import Report, validate

#: Narrowest table when the output is no terminal: tables in log files stay whole.
_MIN_WIDTH = 100


@dataclass(frozen=True)
class Validate:
    """Check that a dataset is what the format says: index, commits, shards, every clip."""

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="URI")]
    """Dataset: a folder, s3://..., gs://..., az://... or https://..."""
    json: bool = False
    """Print the report as JSON."""
    quick: bool = False
    """Leave out what needs the clips' bytes."""
    threads: int = 4
    """Movies checked at the same time."""

    def run(self) -> int:
        """Print the report; 0 or 1."""
        if self.threads < 1:
            raise InputError(f"--threads {self.threads}: at least 1")
        # Progress goes to stderr, and only where someone watches.
        errors = Console(stderr=True)
        with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
            task = progress.add_task("movies", total=None)
            report = validate(
                self.uri,
                quick=self.quick,
                num_threads=self.threads,
                on_movie=lambda done, total: progress.update(task, completed=done, total=total),
            )
        if self.json:
            _print_json(report.to_json())
        else:
            _print_report(report)
        return 0 if report.ok else 1


@dataclass(frozen=True)
class Inspect:
    """Show what a dataset holds, or one of its clips with its pictures as PNG files."""

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="URI")]
    """Dataset: a folder, s3://..., gs://..., az://... or https://..."""
    clip_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[CLIP_ID]")] = ""
    """Clip to show; without one, the dataset is summarised."""
    out: Path = Path()
    """Folder that the pictures are written to."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print the summary or the clip; 0."""
        data = open_dataset(self.uri)
        if not self.clip_id:
            summary = summarise(data)
            if self.json:
                _print_json(dataclasses.asdict(summary))
            else:
                _print_summary(summary)
            return 0
        row = find_clip(data, self.clip_id)
        try:
            paths = write_pictures(read_clip(data, row), self.out)
        except OSError as error:
            raise InputError(f"cannot write pictures to {self.out}: {error}") from error
        if self.json:
            _print_json({**row_values(row), "pictures": [str(path) for path in paths]})
            return 0
        console = _console()
        console.print(_two_columns(row.clip_id, row_values(row)))
        for path in paths:
            console.print(str(path), soft_wrap=True)
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    command: Validate | Inspect = tyro.cli(
        Annotated[Validate, tyro.conf.subcommand("validate")]
        | Annotated[Inspect, tyro.conf.subcommand("inspect")],
        prog="python -m shards_spec",
        description="Validate and inspect datasets of movie-grouped clip shards.",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        return command.run()
    except ReelshardsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_MIN_WIDTH)


def _print_json(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values, indent=2) + "\n")


def _print_report(report: Report) -> None:
    console = _console()
    console.print(report.to_table())
    for check in report.checks:
        for problem in check.examples:
            console.print(f"{check.name}: {problem}", markup=False, soft_wrap=True)
        if check.num_problems > len(check.examples):
            console.print(f"{check.name}: and {check.num_problems - len(check.examples):,} more")
    if report.spread is not None:
        spread = report.spread
        console.print(
            f"in runs of {spread.run_clips} clips the nearest two are "
            f"{spread.median_gap_seconds:.1f} s apart (median; smallest "
            f"{spread.smallest_gap_seconds:.1f} s); a plain random order of the same clips: "
            f"{spread.random_median_gap_seconds:.1f} s "
            f"({spread.random_smallest_gap_seconds:.1f} s)",
            soft_wrap=True,
        )
    verdict = "valid" if report.ok else "NOT VALID"
    console.print(
        f"{verdict}: {report.num_movies:,} movies, {report.num_clips:,} clips, "
        f"{report.num_shards:,} shards, {report.shard_bytes:,} bytes"
    )


def _print_summary(summary: Summary) -> None:
    statuses = ", ".join(f"{count} {name}" for name, count in summary.movies_by_status.items())
    least, median, most = summary.clips_per_movie
    facts = {
        "movies": statuses or "none",
        "groups": summary.num_groups,
        "clips": f"{summary.num_clips:,} ({least} to {most} a movie, median {median})",
        "hours": f"{summary.clip_hours:.2f} in clips, {summary.movie_hours:.2f} in movies",
        "frames": ", ".join(f"{n:,} of {shape}" for shape, n in summary.clips_by_shape.items()),
        "dropped": ", ".join(f"{n} {why}" for why, n in summary.dropped.items()),
        "shards": f"{summary.num_shards:,}, {summary.shard_bytes:,} bytes",
        "made with": f"format {summary.spec_version}, ffmpeg {summary.ffmpeg_version}",
        "recipe": summary.recipe_fingerprint,
    }
    console = _console()
    console.print(_two_columns(summary.uri, facts))
    console.print(_two_columns("recipe", summary.recipe))
    for failure in summary.failures:
        console.print(
            f"{failure.movie_id}: {failure.status}: {failure.error_class}: {failure.error}",
            markup=False,
            soft_wrap=True,
        )


def _two_columns(title: str, values: dict[str, Any]) -> Table:
    table = Table(title=Text(title), title_justify="left", show_header=False)
    for name, value in values.items():
        table.add_row(name, Text(str(value)))
    return table


if __name__ == "__main__":
    sys.exit(main())
