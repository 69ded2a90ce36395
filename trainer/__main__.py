"""`python -m trainer train | plan | evaluate | export | exposure | study | analyse | plot`: shards
to models.

Exit codes: 0 done; 1 training diverged, or a check such as `--min-lift` failed; 2 bad arguments or
unusable input; 130 interrupted by Ctrl-C; 143 stopped by SIGTERM with a checkpoint, before the last
step: the same command resumes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from shards_spec import cli
from shards_spec.cli import Command, ExitCode, print_json, write_lines
from trainer import commands
from trainer.commands import RecipeName, default_settings
from trainer.config import recipe
from trainer.study import StudyConfig, StudyCorpus

PROGRAM = "python -m trainer"
DESCRIPTION = "Train audio-visual models on clip shards, grouped by movie."

#: Former flags, still accepted.
FORMER_FLAGS = {
    "--optimiser.": "--optimizer.",
    "--augment.equaliser-db": "--augment.equalizer-db",
    "--stream.max-hole-bytes": "--stream.max-gap-bytes",
    "--accept-grown": "--allow-appended-data",
    "--no-accept-grown": "--no-allow-appended-data",
}


#: Short names of flags.
SHORT_FLAGS = {"--data-weights": "--policy.data-weights"}


@dataclass(frozen=True, kw_only=True)
class Study:
    """Train and evaluate runs that differ in one setting each, above all in the share of
    within-movie negatives, and write a result page."""

    data: str
    """URI of the main dataset."""
    run_folder: Annotated[Path, tyro.conf.arg(name="run")]
    """Study folder; each run gets a folder in it, and finished runs are kept."""
    labels: Path | None = None
    """CSV with the columns source, start_seconds, end_seconds, label, for the class probe."""
    seen: Path | None = None
    """The same of what is seen, where a clip may have several labels."""
    heard: Path | None = None
    """The same of what is heard."""
    name: str = "the movies"
    """Short description of the main dataset."""
    others: tuple[tuple[str, str, Path], ...] = ()
    """Further datasets for the comparison `corpora`: name, URI and labels of each."""
    config: RecipeName = "study"
    """Recipe of all runs."""
    finished_only: bool = False
    """Start no run: summarize those that are finished, also of a study that still runs."""
    json: bool = False
    """Print JSON instead of a table."""
    study: tyro.conf.OmitArgPrefixes[StudyConfig] = field(default_factory=StudyConfig)

    def run(self) -> int:
        """Make the missing runs, then print the summary."""
        from trainer.study import study

        corpora = [
            StudyCorpus(
                name=self.name,
                data=self.data,
                labels=self.labels,
                seen=self.seen,
                heard=self.heard,
            ),
            *(StudyCorpus(name=name, data=data, labels=path) for name, data, path in self.others),
        ]
        outcome = study(
            corpora,
            self.run_folder,
            recipe(self.config),
            self.study,
            finished_only=self.finished_only,
        )
        if self.json:
            print_json(outcome.to_json())
        else:
            write_lines(outcome.lines())
        return ExitCode.DONE


#: Every command by name.
COMMANDS: dict[str, type[Command]] = {**commands.COMMANDS, "study": Study}


def main(arguments: Sequence[str] | None = None, *, prog: str = PROGRAM) -> int:
    """Run one command; returns the exit code."""
    # Idle OpenMP threads spin by default; together with the threads that decode clips, that made
    # steps on a busy 2-core machine ten times slower. OpenMP reads this once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return cli.run_parsed(arguments, lambda words: parse(words, prog))


def parse(arguments: Sequence[str], prog: str = PROGRAM) -> Command:
    """The command that the arguments name; exits with status 2 when they do not parse."""
    return cli.parse(
        COMMANDS,
        arguments,
        prog=prog,
        description=DESCRIPTION,
        former_flags={**FORMER_FLAGS, **SHORT_FLAGS},
        defaults=default_settings(arguments, prog),
    )


if __name__ == "__main__":
    sys.exit(main())
