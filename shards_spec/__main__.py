"""Command line: `python -m shards_spec validate DATASET`, `inspect`, `browse`, `duplicates`,
`lock`, `check-store URI`.

Exit codes: 0 valid, or shown; 1 checks failed, and are listed; 2 bad arguments or unusable input.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table
from rich.text import Text

from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.conformance import StoreCheck, check_store
from shards_spec.dataset.fingerprints import Duplicates
from shards_spec.dataset.inspection import Summary, find_clip, summarize, write_images
from shards_spec.dataset.lockfile import LockDataset
from shards_spec.dataset.reader import open_dataset, read_clips
from shards_spec.dataset.validation import Report, validate
from shards_spec.errors import InputError
from shards_spec.process import run_process
from shards_spec.progress import require_threads, shown_progress
from shards_spec.redaction import plain
from shards_spec.schema.tables import row_values
from shards_spec.storage import Storage


@dataclass(frozen=True)
class Validate:
    """Check a dataset against the shard format: index, commit records, shards, every clip."""

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset: a folder, s3://..., gs://..., az://... or https://..."""
    json: bool = False
    """Print the report as JSON."""
    quick: bool = False
    """Skip the checks that read the clips' bytes."""
    threads: int = 4
    """Movies that are checked concurrently."""

    def run(self) -> int:
        """Print the report; returns 0, or 1 when a check failed."""
        require_threads(self.threads)
        with shown_progress("movies") as on_movie:
            report = validate(
                self.uri, quick=self.quick, num_threads=self.threads, on_movie=on_movie
            )
        if self.json:
            cli.print_json(report.to_json())
        else:
            _print_report(report)
        return ExitCode.DONE if report.ok else ExitCode.SOME_FAILED


@dataclass(frozen=True)
class Inspect:
    """Summarize a dataset, or show one of its clips and write its images as PNG files."""

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset: a folder, s3://..., gs://..., az://... or https://..."""
    clip_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[CLIP_ID]")] = ""
    """Clip to show; without it, the dataset is summarized."""
    out: Path = Path()
    """Folder for the images."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Print the summary or the clip; returns 0."""
        dataset = open_dataset(self.uri)
        if not self.clip_id:
            summary = summarize(dataset)
            if self.json:
                cli.print_json(dataclasses.asdict(summary))
            else:
                _print_summary(summary)
            return ExitCode.DONE
        row = find_clip(dataset, self.clip_id)
        sample = read_clips(dataset.storage, [row])[0]
        try:
            paths = write_images(sample, self.out)
        except OSError as error:
            raise InputError(f"cannot write images to {self.out}: {error}") from error
        if self.json:
            cli.print_json({**row_values(row), "pictures": [str(path) for path in paths]})
            return ExitCode.DONE
        console = cli.new_console()
        console.print(_two_columns(row.clip_id, row_values(row)))
        for path in paths:
            console.print(plain(str(path)), soft_wrap=True)
        return ExitCode.DONE


@dataclass(frozen=True)
class Browse:
    """Show a dataset in a web browser: movies, clips with their audio, drops, failures.

    A small server on this machine answers its user only; the pages load nothing from the network.
    """

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset: a folder, s3://..., gs://..., az://... or https://..."""
    against: Annotated[str, tyro.conf.arg(metavar="DATASET")] = ""
    """Also show how it differs from this dataset."""
    embeddings: Annotated[str, tyro.conf.arg(metavar="FILE")] = ""
    """Parquet file of `reelshards embed`: also show similar clips."""
    port: int = 0
    """Port on 127.0.0.1; 0 for any free one."""
    open: bool = False
    """Open the page in the default web browser."""

    def run(self) -> int:
        """Serve until Ctrl-C; returns 0."""
        from shards_spec.dataset.browser import BrowserServer, open_site

        cli.show_start("reading the dataset")
        site = open_site(self.uri, self.against, self.embeddings)
        with BrowserServer(site, self.port) as server:
            sys.stdout.write(f"{server.url}\nCtrl-C stops the server.\n")
            sys.stdout.flush()
            if self.open:
                webbrowser.open(server.url)
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()
        return ExitCode.DONE


@dataclass(frozen=True)
class CheckStore:
    """Test what the commands need from a store, under a temporary prefix that is deleted again."""

    uri: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="URI")]
    """Where a dataset would be written: a folder, s3://..., gs://... or az://..."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Print what works; returns 0, or 1 when something that is needed does not."""
        checks, traits = check_store(Storage(self.uri, create=True))
        protocol = traits.lease_protocol if traits else "none: the store cannot be written to"
        missing = [check for check in checks if check.is_required and check.problem]
        if self.json:
            cli.print_json(
                {
                    "ok": not missing,
                    "lease_protocol": protocol,
                    "checks": [dataclasses.asdict(check) for check in checks],
                }
            )
        else:
            _print_checks(self.uri, checks, protocol)
        return ExitCode.SOME_FAILED if missing else ExitCode.DONE


COMMANDS: dict[str, type[cli.Command]] = {
    "validate": Validate,
    "inspect": Inspect,
    "browse": Browse,
    "duplicates": Duplicates,
    "lock": LockDataset,
    "check-store": CheckStore,
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m shards_spec") -> int:
    """Run a command; returns the exit code."""
    return cli.main(
        COMMANDS,
        prog=prog,
        description="Validate and inspect datasets of movie-grouped clip shards, and check stores.",
        arguments=arguments,
    )


def _print_report(report: Report) -> None:
    console = cli.new_console()
    console.print(report.to_table())
    for check in report.checks:
        for problem in check.examples:
            console.print(plain(f"{check.name}: {problem}"), soft_wrap=True)
        if check.num_problems > len(check.examples):
            console.print(f"{check.name}: and {check.num_problems - len(check.examples):,} more")
    if report.spread is not None:
        spread = report.spread
        console.print(
            f"time between the two closest clips in runs of {spread.run_clips}: median "
            f"{spread.median_gap_seconds:.1f} s, smallest {spread.smallest_gap_seconds:.1f} s; "
            f"in a plain random order {spread.random_median_gap_seconds:.1f} s and "
            f"{spread.random_smallest_gap_seconds:.1f} s",
            soft_wrap=True,
        )
    verdict = "valid" if report.ok else "NOT VALID"
    console.print(
        f"{verdict}: {report.num_movies:,} movies, {report.num_clips:,} clips, "
        f"{report.num_shards:,} shards, {report.shard_bytes:,} bytes"
    )


def _print_summary(summary: Summary) -> None:
    statuses = ", ".join(f"{count} {name}" for name, count in summary.movies_by_status.items())
    fewest, median, most = summary.clips_per_movie
    facts = {
        "movies": statuses or "none",
        "groups": summary.num_groups,
        "clips": f"{summary.num_clips:,} ({fewest} to {most} per movie, median {median})",
        "hours": f"{summary.clip_hours:.2f} in clips, {summary.movie_hours:.2f} in movies",
        "frames": ", ".join(f"{n:,} of {shape}" for shape, n in summary.clips_by_shape.items()),
        "dropped": ", ".join(f"{n} {reason}" for reason, n in summary.dropped.items()),
        "not chosen": f"{summary.not_chosen:,}",
        "shards": f"{summary.num_shards:,}, {summary.shard_bytes:,} bytes",
        "made with": f"format {summary.spec_version}, ffmpeg {summary.ffmpeg_version}",
        "recipe": summary.recipe_fingerprint,
    }
    if not summary.not_chosen:
        del facts["not chosen"]
    console = cli.new_console()
    console.print(_two_columns(summary.uri, facts))
    console.print(_two_columns("recipe", summary.recipe))
    for failure in summary.failures:
        line = f"{failure.movie_id}: {failure.status}: {failure.error_class}: {failure.error}"
        console.print(plain(line), soft_wrap=True)


def _print_checks(uri: str, checks: Sequence[StoreCheck], protocol: str) -> None:
    table = Table(title=Text(uri), title_justify="left")
    for name in ("check", "result", "found"):
        table.add_column(name, overflow="fold")
    for check in checks:
        failed = "FAILED" if check.is_required else "missing, not required"
        table.add_row(check.name, failed if check.problem else "works", Text(check.problem))
    console = cli.new_console()
    console.print(table)
    console.print(f"lease: {protocol}", markup=False, soft_wrap=True)


def _two_columns(title: str, values: dict[str, Any]) -> Table:
    table = Table(title=Text(plain(title)), title_justify="left", show_header=False)
    for name, value in values.items():
        table.add_row(plain(name), plain(str(value)))
    return table


if __name__ == "__main__":
    run_process(main)
