"""`python -m pipeline`: movies in, shards out.

    preprocess CORPUS --out URI    the main job; run again, it resumes where it stopped
    status DATASET                 how far a run is, and what failed
    retry DATASET                  process failed and quarantined movies again
    prune DATASET CORPUS [--yes]   remove movies that the corpus no longer contains
    report DATASET                 the dataset as a page: movies, drops, streams, failures
    rebuild LOCK --from FOLDER     a dataset from its lockfile and other copies of its movies
    label DATASET --from FILE      labels of movies and times, subtitles or chapters to clips
    check-sync MOVIE               offset, drift, gaps and tracks of one movie's audio
    demo-corpus FOLDER             synthetic movies with known ground truth
    drain [DATASET]                ask the runs on this machine to stop, and wait for them

Exit codes: 0 all done; 1 finished, but some movies failed; 2 bad arguments or unusable input, or
the run failed as a whole; 130 interrupted, 143 stopped by SIGTERM: the same command resumes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from pipeline.config import RunConfig
from pipeline.demo import DemoCorpus
from pipeline.label_command import Label
from pipeline.prune_command import Prune
from pipeline.rebuild_command import Rebuild
from pipeline.views import parse_views, views_of
from shards_spec import cli
from shards_spec.cli import ExitCode
from shards_spec.errors import InputError
from shards_spec.process import importing, run_process
from shards_spec.recipe import Recipe
from shards_spec.schema.tables import row_values

# Ray, librosa and OpenCV take seconds to import: every command imports what it needs when it runs,
# so that `--help` and mistyped arguments answer at once.

#: Former flags, still accepted.
FORMER_FLAGS = {"--max-film-hours": "--max-movie-hours", "--stop-share": "--stop-fraction"}

#: The settings of a run, under the title "run options" in the help.
RunSettings = Annotated[RunConfig, OmitArgPrefixes, arg(name="run")]


@dataclass(frozen=True)
class Preprocess:
    """Turn a corpus of movies into a dataset of clip shards."""

    corpus: Annotated[str, Positional, arg(metavar="CORPUS")]
    """Folder, glob, file, object-store prefix, or manifest (.csv, .tsv, .jsonl, .json,
    .parquet)."""
    out: str
    """Where the dataset is written: a folder, or s3://, gs://, az://."""
    recipe: OmitArgPrefixes[Recipe] = field(default_factory=Recipe)
    run_config: RunSettings = field(default_factory=RunConfig)
    view: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME:KEY=VALUE,...")] = ()
    """Make several datasets of one decode, one for each `--view`: its name, and the options above
    that differ (`--view small:fps=5 --view large:fps=1,short-side=256`). A view is written to its
    name below `--out`, or to its `out=URI`."""
    json: bool = False
    """Print the summary as JSON instead of tables."""

    def run(self) -> int:
        """Preprocess under a live display, then print the summary."""
        views = views_of(parse_views(self.view), self.out, self.recipe) if self.view else ()
        _show_life(self.json)
        with importing():
            _import_ray()
            from pipeline.console import run_shown, views_run_shown
            from pipeline.run import preprocess, preprocess_views

        if views:
            return views_run_shown(
                lambda show: preprocess_views(self.corpus, views, self.run_config, show),
                {view.name: view.out for view in views},
                as_json=self.json,
            )
        return run_shown(
            lambda show: preprocess(self.corpus, self.out, self.recipe, self.run_config, show),
            self.out,
            as_json=self.json,
        )


@dataclass(frozen=True)
class Status:
    """Show how far a run is, and what failed."""

    uri: Annotated[str, Positional, arg(metavar="DATASET")]
    """The dataset."""
    watch: bool = False
    """Print a line whenever something has changed, until the run has ended."""
    json: bool = False
    """Print JSON instead of tables."""

    def run(self) -> int:
        """Print the state of the dataset and of its last run."""
        cli.show_start("reading the dataset")
        from pipeline import lease
        from pipeline.console import status
        from pipeline.run.progress import read_progress
        from shards_spec.dataset.index import read_committed_movies
        from shards_spec.storage import Storage

        storage, console = Storage(self.uri), cli.new_console()
        if self.watch:
            status.watch(storage, console)
        progress = read_progress(storage)
        rows = list(read_committed_movies(storage).values())
        if progress is None and not rows:
            raise InputError(f"{self.uri} contains no dataset and no run; check the path")
        if self.json:
            record = asdict(progress) if progress else None
            cli.print_json({"run": record, "movies": [row_values(row) for row in rows]})
        else:
            status.print_status(console, progress, rows, lease.holder_of(storage))
        failed = any(row.status in ("failed", "quarantined") for row in rows)
        return ExitCode.SOME_FAILED if failed else ExitCode.DONE


@dataclass(frozen=True)
class Retry:
    """Process failed and quarantined movies of a dataset again, with its own recipe."""

    uri: Annotated[str, Positional, arg(metavar="DATASET")]
    """The dataset."""
    run_config: RunSettings = field(default_factory=RunConfig)
    json: bool = False
    """Print the summary as JSON instead of tables."""

    def run(self) -> int:
        """Retry under a live display, then print the summary."""
        _show_life(self.json)
        with importing():
            _import_ray()
            from pipeline.console import run_shown
            from pipeline.run import retry
            from shards_spec.storage import Storage

        storage = Storage(self.uri)
        return run_shown(
            lambda show: retry(storage, self.run_config, show), self.uri, as_json=self.json
        )


@dataclass(frozen=True)
class Report:
    """Print a dataset's movies, drops, streams and failures; with --html also as pages."""

    uri: Annotated[str, Positional, arg(metavar="DATASET")]
    """The dataset."""
    html: Annotated[str, arg(metavar="FOLDER")] = ""
    """Also write pages to this folder that show movies, and some clips with their audio; or, to a
    file named .html, only the tables."""
    html_clips: int = 60
    """Clips in those pages, spread over movies and time."""
    against: Annotated[str, arg(metavar="DATASET")] = ""
    """Also show how the dataset differs from this one."""
    embeddings: Annotated[str, arg(metavar="FILE")] = ""
    """Parquet file of `reelshards embed`: the pages also show similar clips."""
    json: bool = False
    """Print JSON instead of tables."""

    def run(self) -> int:
        """Print the report."""
        cli.show_start("reading the dataset")
        from pipeline.console import report
        from shards_spec.dataset.browser import open_site

        site = open_site(self.uri, self.against, self.embeddings)
        if self.json:
            cli.print_json(report.report_json(site))
        else:
            report.print_site(cli.new_console(), site)
        if self.html:
            problems = report.write_pages(site, self.html, self.html_clips)
            cli.write_notes([*problems, f"wrote {self.html}"])
        statuses = set(site.catalog.dataset.movies["status"].to_pylist())
        return ExitCode.SOME_FAILED if statuses & {"failed", "quarantined"} else ExitCode.DONE


@dataclass(frozen=True)
class CheckSync:
    """Show how well the audio and video of a movie line up: offset, drift, gaps, frame times."""

    movie: Annotated[str, Positional, arg(metavar="MOVIE")]
    """File, or s3://, gs://, az://."""
    out: str = ""
    """Draw the findings along the movie to this PNG file."""
    language: str = ""
    """Preferred audio language (ISO 639)."""
    audio_track: int = -1
    """Index of the audio stream to check; -1 for the one that a run would choose."""
    json: bool = False
    """Print JSON instead of tables."""

    def run(self) -> int:
        """Print the findings."""
        from pipeline.console import sync_chart, sync_check, sync_table

        check = sync_check.check_sync(self.movie, self.language, self.audio_track)
        if self.out:
            Path(self.out).write_bytes(sync_chart.draw_check(check))
        if self.json:
            cli.print_json(sync_table.check_json(check))
        else:
            sync_table.print_check(cli.new_console(), check)
        return ExitCode.DONE


@dataclass(frozen=True)
class Drain:
    """Ask the runs on this machine to stop, and wait until they have."""

    out: Annotated[str, Positional, arg(metavar="[DATASET]")] = ""
    """Only runs that write to this dataset, or to views below it, spelled as on their command
    lines."""

    def run(self) -> int:
        """Drain; 1 if a run is still active after the waiting time."""
        from pipeline.run import drain_local_runs

        return ExitCode.SOME_FAILED if drain_local_runs(self.out) else ExitCode.DONE


COMMANDS: dict[str, type[cli.Command]] = {
    "preprocess": Preprocess,
    "status": Status,
    "retry": Retry,
    "prune": Prune,
    "report": Report,
    "label": Label,
    "rebuild": Rebuild,
    "check-sync": CheckSync,
    "demo-corpus": DemoCorpus,
    "drain": Drain,
}


def main(arguments: Sequence[str] | None = None, prog: str = "python -m pipeline") -> int:
    """Run a command; returns the exit code."""
    return cli.main(
        COMMANDS,
        prog=prog,
        description="Turn full-length movies into audio-visual clip shards, grouped by movie.",
        arguments=arguments,
        former_flags=FORMER_FLAGS,
    )


def _show_life(as_json: bool) -> None:
    """Say that the command has started, before imports and the first look at the corpus."""
    (sys.stderr if as_json else sys.stdout).write("starting\n")
    sys.stdout.flush()


def _import_ray() -> None:
    """Import Ray before anything else does, which would load more of it."""
    from pipeline.engine.on_ray.light_ray import import_ray

    import_ray()


if __name__ == "__main__":
    run_process(main)
