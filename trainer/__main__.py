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
from typing import Annotated, Any

import tyro

from shards_spec import cli
from shards_spec.cli import Command, ExitCode, print_json, write_lines
from shards_spec.errors import InputError
from shards_spec.process import run_process
from trainer import commands
from trainer.commands import Plan, RecipeName
from trainer.config import RECIPES, TrainConfig, recipe
from trainer.settings import Basis
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
class Train:
    """Train a model from shards; in the folder of an unfinished run, resume it."""

    data: tuple[str, ...]
    """URI of the dataset; or of several, with `--data-weights`."""
    run_folder: Annotated[str, tyro.conf.arg(name="run")]
    """Run folder: metrics.jsonl, config.json, checkpoints/; may be in a bucket (s3://, ...)."""
    config: RecipeName = "auto"
    """Recipe that provides the defaults of the settings below; auto is r2plus1d18 with a GPU, else
    small, or the settings of the run in that folder. Or a function that returns a TrainConfig."""
    settings_file: Annotated[
        str, tyro.conf.arg(name="settings", aliases=["--config-file"], metavar="FILE")
    ] = ""
    """TOML file with settings that replace those of the recipe; its key `config` may name one, its
    key `data` a dataset or a list of them."""
    from_run: Annotated[str, tyro.conf.arg(name="from", metavar="RUN")] = ""
    """Run folder whose settings to start from, instead of a recipe."""
    set: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")
    ] = ()
    """A single setting to replace, as in the file: `optimizer.lr=3e-4`; may be repeated."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]

    def run(self) -> int:
        """Train; stopped by SIGTERM is an exit code of its own, so that schedulers requeue."""
        from trainer.train import train

        outcome = train(self.data, self.run_folder, self.settings)
        return ExitCode.DRAINED if outcome.stopped_by_signal else ExitCode.DONE


@dataclass(frozen=True, kw_only=True)
class Analyse:
    """Measure what a corpus offers to within-movie negatives: how well its movies are recognized by
    look and score, how diverse each is, and how often content returns; suggest k, mass and guard.
    """

    data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """URI of the dataset."""
    run_folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = ""
    """Run folder, whose features are used as well; may be in a bucket."""
    out: str = "analysis.html"
    """Page to write, .html; empty for none."""
    max_clips: int = 20_000
    """Clips that are read at most, of whole movies."""
    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Print the result, and write the page."""
        from trainer.analyse import analyse_to

        if self.max_clips < 2:
            raise InputError(f"max-clips = {self.max_clips}: must be at least 2")
        found = analyse_to(self.data, self.run_folder, self.out, self.max_clips)
        if self.json:
            print_json(found.to_json())
        else:
            write_lines([*found.lines(), *([f"page: {self.out}"] if self.out else [])])
        return ExitCode.DONE


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
        from trainer.train import train

        if self.others and "corpora" not in self.study.comparisons:
            raise InputError(
                "--others: other datasets are used by the comparison `corpora` only; add it to "
                f"--comparisons {' '.join(self.study.comparisons)}"
            )
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
            train=train,
            finished_only=self.finished_only,
        )
        if self.json:
            print_json(outcome.to_json())
        else:
            write_lines(outcome.lines())
        return ExitCode.DONE


#: Every command by name.
COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    **commands.COMMANDS,
    "analyse": Analyse,
    "study": Study,
}


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


def default_settings(words: Sequence[str], prog: str) -> dict[str, Any]:
    """Defaults of the command's settings: those of the recipe, or of the run to resume."""
    name = words[0] if words else ""
    if name not in ("train", "plan"):
        return {}
    basis = Basis.of(words[1:], f"{prog} {name}")
    if name == "plan":
        settings = recipe(basis.config or "auto")
        return {
            name: Plan(
                data=tyro.MISSING,
                policy=settings.policy,
                seed=settings.seed,
                stream=settings.stream,
            )
        }
    from trainer.runs.launch import data_of_settings, first_settings

    settings = _train_settings(basis)
    if not {"-h", "--help"}.isdisjoint(words):
        sys.stdout.write(first_settings(settings, prog, list(RECIPES)))
    data = data_of_settings(basis.settings_file) if basis.settings_file else ()
    train = Train(data=data or tyro.MISSING, run_folder=tyro.MISSING, settings=settings)
    return {name: train}


def _train_settings(basis: Basis) -> TrainConfig:
    from trainer.runs.launch import chosen_settings

    return chosen_settings(
        config=basis.config,
        from_run=basis.from_run,
        run=basis.run,
        file=basis.settings_file,
        changes=basis.set,
    )


if __name__ == "__main__":
    run_process(main)
