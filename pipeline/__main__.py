"""`python -m pipeline`: movies in, shards out.

    preprocess CORPUS --out URI    the main job; run again, it goes on where it stopped
    status URI                     how far a run is, and what failed
    retry URI                      try failed and quarantined movies once more
    prune URI CORPUS [--yes]       take out movies that the corpus no longer holds
    report URI                     the dataset as a page: movies, drops, streams, failures
    check-sync MOVIE               offset, drift, gaps and tracks of one movie's sound
    demo-corpus DIR                toy movies with known truth

Exit codes: 0 all done; 1 finished, but some movies failed; 2 bad arguments or unusable input, or a
run that fails as a whole; 130 interrupted, 143 stopped by SIGTERM: the same command goes on.
"""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from pipeline.config import RunConfig
from pipeline.console import (
    Display,
    check_json,
    check_sync,
    draw_check,
    print_check,
    print_report,
    print_status,
    print_summary,
    watch,
)
from pipeline.demo import DemoConfig, make_demo_corpus
from pipeline.engine import DrainedError
from pipeline.redaction import redacted
from pipeline.run import (
    OnProgress,
    Summary,
    find_prunable,
    lease,
    preprocess,
    prune,
    read_progress,
    retry,
)
from shards_spec.commits import read_committed_movies
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.reader import open_dataset
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage

_DONE, _SOME_FAILED, _UNUSABLE, _INTERRUPTED, _DRAINED = 0, 1, 2, 130, 143
_LOG_WIDTH = 110


@dataclass(frozen=True)
class Preprocess:
    """Turn a corpus of movies into a dataset of clip shards."""

    corpus: tyro.conf.Positional[str]
    """Folder, glob, file, object-store prefix, or manifest (.csv, .jsonl, .parquet)."""
    out: str
    """Where the dataset goes: a folder, or s3://, gs://, az://."""
    recipe: tyro.conf.OmitArgPrefixes[Recipe] = field(default_factory=Recipe)
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)
    json: bool = False
    """Print the closing account as JSON instead of tables."""

    def __call__(self, console: Console) -> int:
        return _run(
            console,
            lambda show: preprocess(self.corpus, self.out, self.recipe, self.run, show),
            self.out,
            self.json,
        )


@dataclass(frozen=True)
class Status:
    """Show how far a run is, and what failed."""

    uri: tyro.conf.Positional[str]
    """The dataset."""
    watch: bool = False
    """Print a line whenever something has changed, until the run has ended."""
    json: bool = False
    """Machine-readable output."""

    def __call__(self, console: Console) -> int:
        storage = Storage(self.uri)
        if self.watch:
            watch(storage, console)
        progress = read_progress(storage)
        rows = list(read_committed_movies(storage).values())
        if progress is None and not rows:
            raise InputError(f"{self.uri} holds no dataset and no run; check the path")
        if self.json:
            record = asdict(progress) if progress else None
            _print_json({"run": record, "movies": [asdict(row) for row in rows]})
        else:
            print_status(console, progress, rows, lease.holder_of(storage))
        return _SOME_FAILED if any(r.status in ("failed", "quarantined") for r in rows) else _DONE


@dataclass(frozen=True)
class Retry:
    """Try failed and quarantined movies of a dataset once more, with its own recipe."""

    uri: tyro.conf.Positional[str]
    """The dataset."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = field(default_factory=RunConfig)
    json: bool = False
    """Print the closing account as JSON instead of tables."""

    def __call__(self, console: Console) -> int:
        dataset = open_dataset(self.uri)
        return _run(
            console,
            lambda show: retry(dataset.storage, dataset.recipe, self.run, show),
            self.uri,
            self.json,
        )


@dataclass(frozen=True)
class Prune:
    """Take movies out of a dataset that its corpus no longer holds, and shards nobody counts."""

    uri: tyro.conf.Positional[str]
    """The dataset."""
    corpus: tyro.conf.Positional[str]
    """The whole corpus, as given to `preprocess`."""
    yes: bool = False
    """Do it; without, only say what would go."""
    follow_links: bool = False
    """Whether links inside a corpus folder may lead out of it."""

    def __call__(self, console: Console) -> int:
        dataset = open_dataset(self.uri)
        if self.yes:
            found = prune(dataset, self.corpus, follow_links=self.follow_links)
        else:
            found = find_prunable(dataset.storage, self.corpus, follow_links=self.follow_links)
        verb = "removed" if self.yes else "would remove"
        for row in found.movies:
            console.print(f"{verb} {row.movie_id}: {row.num_clips} clips, {row.num_shards} shards")
        console.print(
            f"{verb} {len(found.movies)} movies and {len(found.stray_shards)} shards that no "
            f"movie counts{'' if self.yes else '; --yes does it'}"
        )
        return _DONE


@dataclass(frozen=True)
class Report:
    """Print the dataset's account; with --html also as a page."""

    uri: tyro.conf.Positional[str]
    """The dataset."""
    html: str = ""
    """Write the same as a self-contained page to this file."""

    def __call__(self, console: Console) -> int:
        return print_report(console, open_dataset(self.uri), self.html)


@dataclass(frozen=True)
class CheckSync:
    """Show how sound and picture of one movie fit: offset, drift, gaps, tracks, frame times."""

    movie: tyro.conf.Positional[str]
    """File, or s3://, gs://, az://."""
    out: str = ""
    """Draw what was found along the movie to this PNG file."""
    language: str = ""
    """Preferred audio language (ISO 639)."""
    audio_track: int = -1
    """Index of the audio stream to look at; -1 for the one that would be chosen."""
    json: bool = False
    """Machine-readable output."""

    def __call__(self, console: Console) -> int:
        check = check_sync(self.movie, self.language, self.audio_track)
        if self.out:
            Path(self.out).write_bytes(draw_check(check))
        if self.json:
            _print_json(check_json(check))
        else:
            print_check(console, check)
        return _DONE


@dataclass(frozen=True)
class DemoCorpus:
    """Make toy movies with known truth: real H.264/AAC files and a `labels.csv`."""

    directory: tyro.conf.Positional[str]
    """Folder to put them in; made when missing."""
    config: tyro.conf.OmitArgPrefixes[DemoConfig] = field(default_factory=DemoConfig)

    def __call__(self, console: Console) -> int:
        paths = make_demo_corpus(
            Path(self.directory),
            self.config,
            on_movie=lambda name: console.print(f"made {name}", highlight=False),
        )
        console.print(f"{len(paths)} movies and labels.csv in {self.directory}", highlight=False)
        return _DONE


Command = Preprocess | Status | Retry | Prune | Report | CheckSync | DemoCorpus


def parse(arguments: list[str] | None = None) -> Command:
    """The command that the words ask for; leaves with status 2 when they ask for none."""
    command: Command = tyro.cli(
        Annotated[Preprocess, tyro.conf.subcommand("preprocess")]
        | Annotated[Status, tyro.conf.subcommand("status")]
        | Annotated[Retry, tyro.conf.subcommand("retry")]
        | Annotated[Prune, tyro.conf.subcommand("prune")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[CheckSync, tyro.conf.subcommand("check-sync")]
        | Annotated[DemoCorpus, tyro.conf.subcommand("demo-corpus")],
        prog="python -m pipeline",
        description="Turn full-length movies into audio-visual clip shards, grouped by movie.",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return command


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    console = _console()
    try:
        return parse(arguments)(console)
    except DrainedError as error:
        sys.stderr.write(f"{error}\n")
        return _DRAINED
    except ReelshardsError as error:
        sys.stderr.write(f"error: {redacted(str(error))}\n")
        return _UNUSABLE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to go on\n")
        return _INTERRUPTED


def _run(console: Console, work: Callable[[OnProgress], Summary], out: str, as_json: bool) -> int:
    """Do the work under a live display, then print the account."""
    quiet = Console(stderr=True) if as_json else console
    with Display(quiet) as display:
        summary = work(display.show)
    if as_json:
        _print_json(
            {
                "run": asdict(summary.progress),
                "movies": [asdict(row) for row in summary.rows],
                "removed": list(summary.todo.removed),
            }
        )
    else:
        print_summary(console, summary, out)
    return _SOME_FAILED if summary.failed else _DONE


def _console() -> Console:
    """Wide enough for whole lines where the output is a file or a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_LOG_WIDTH)


def _print_json(values: dict[str, Any]) -> None:
    sys.stdout.write(json_module.dumps(values, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
