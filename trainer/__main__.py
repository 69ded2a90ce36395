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
from trainer.config import TrainConfig
from trainer.loader import StreamConfig
from trainer.plan import BatchPolicy
from trainer.recipes import RECIPES, recipe
from trainer.settings import Basis, SupplyConfig
from trainer.study import StudyConfig, StudyCorpus

RecipeName = Annotated[str, tyro.conf.arg(metavar=f"{{auto,{','.join(RECIPES)},MODULE:FUNCTION}}")]
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
class Plan:
    """Show the batches of a policy on a dataset, before training on them."""

    data: tuple[str, ...]
    """URI of the dataset; or of several, with `--data-weights`."""
    config: RecipeName = "auto"
    """Recipe that provides the defaults of policy and seed."""
    dump: str = ""
    """File to write the global batches to, one JSON line per step; empty for none."""
    epochs: int = 1
    """Epochs in the dump."""
    json: bool = False
    """Print JSON instead of a table."""
    seed: int = 0
    """Determines the batches."""
    policy: BatchPolicy
    stream: StreamConfig = field(default_factory=StreamConfig)
    supply: SupplyConfig = field(default_factory=SupplyConfig)

    def run(self) -> int:
        """Print the report, and write the dump if requested."""
        from trainer.plan_report import plan_command

        return plan_command(
            self.data,
            self.policy,
            self.seed,
            self.epochs,
            self.dump,
            self.json,
            self.stream.on_this_machine(),
            self.supply,
        )


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate a run on movies that it did not train on."""

    data: tuple[str, ...]
    """URI of the dataset; of several, each is also evaluated by itself."""
    run_folder: Annotated[str, tyro.conf.arg(name="run")]
    """Run folder; may be in a bucket."""
    labels: Path | None = None
    """CSV with the columns source, start_seconds, end_seconds, label, for the class probe."""
    label_column: str = ""
    """Column of the clip index to use as the class, instead of a table."""
    best: bool = False
    """Use the checkpoint whose evaluation during training was best instead of the newest."""
    average: bool = False
    """Use the moving average of the weights, for runs with `--ema-decay`."""
    min_lift: float = 0.0
    """Exit with 1 unless within-movie R@1 is at least this many times chance, both ways."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Print all metrics; 1 if `min_lift` is missed."""
        from trainer.evaluate import evaluate

        evaluation = evaluate(
            self.data,
            self.run_folder,
            self.labels,
            self.label_column,
            best=self.best,
            average=self.average,
        )
        if self.json:
            print_json(evaluation.to_json())
        else:
            write_lines(evaluation.lines())
        # Within-movie R@1 needs a movie with two clips; if there is none, the check fails.
        if self.min_lift and not min(evaluation.lifts().values(), default=0.0) >= self.min_lift:
            sys.stderr.write(f"error: within-movie R@1 is below {self.min_lift:g} times chance\n")
            return ExitCode.SOME_FAILED
        return ExitCode.DONE


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run's encoders in the layout of models on the Hugging Face hub: weights
    (safetensors), settings, preprocessing and a model card."""

    run_folder: Annotated[str, tyro.conf.arg(name="run")]
    """Run folder; may be in a bucket."""
    out: Path
    """Folder for the files; created if missing."""
    data: str = ""
    """URI of a dataset to evaluate the run on for the model card; by default the card has the
    figures of the run's own last evaluation."""
    labels: Path | None = None
    """With `--data`: CSV with the columns source, start_seconds, end_seconds, label."""
    onnx: bool = False
    """Also write each tower as ONNX, if it computes the same (needs `reelshards[onnx]`)."""
    best: bool = False
    """Use the checkpoint whose evaluation during training was best instead of the newest."""
    average: bool = False
    """Use the moving average of the weights, for runs with `--ema-decay`."""

    def run(self) -> int:
        """Write the files and print their paths."""
        from trainer.evaluate import evaluate, export

        run, best, average = self.run_folder, self.best, self.average
        evaluation = None
        if self.data:
            evaluation = evaluate(self.data, run, self.labels, best=best, average=average)
        paths = export(
            run, self.out, evaluation=evaluation, onnx=self.onnx, best=best, average=average
        )
        write_lines(map(str, paths))
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
            StudyCorpus(name=self.name, data=self.data, labels=self.labels),
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
class Plot:
    """Draw the curves of runs over each other."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
    """Run folders; may be in a bucket."""
    out: Path = Path("curves.html")
    """File to write: .html (with a table of the last values), .png or .svg."""

    def run(self) -> int:
        """Write the file and print its path."""
        from trainer.plot_curves import plot

        plot(self.runs, self.out)
        sys.stdout.write(f"{self.out}\n")
        return ExitCode.DONE


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Show which checkpoint of a run has seen which movie, and at which steps."""

    run_folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder; may be in a bucket."""
    movie: tuple[str, ...] = ()
    """Movies to show with all of their steps; by default all movies without them."""
    data: tuple[str, ...] = ()
    """Dataset (or datasets, in their order) as it was when the run was launched last, if it has
    changed or moved since; a copy of dataset.json and index/ is enough."""
    json: bool = False
    """Print JSON instead of lines."""

    def run(self) -> int:
        """Print it."""
        from trainer.exposure import exposure_command

        exposure_command(self.run_folder, self.movie, self.data, as_json=self.json)
        return ExitCode.DONE


#: Every command by name.
COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    "plan": Plan,
    "evaluate": Evaluate,
    "export": Export,
    "exposure": Exposure,
    "study": Study,
    "analyse": Analyse,
    "plot": Plot,
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
        defaults=_defaults(arguments, prog),
    )


def _defaults(words: Sequence[str], prog: str) -> dict[str, Any]:
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
    from trainer.launch import data_of_settings, first_settings

    settings = _train_settings(basis)
    if not {"-h", "--help"}.isdisjoint(words):
        sys.stdout.write(first_settings(settings, prog, list(RECIPES)))
    data = data_of_settings(basis.settings_file) if basis.settings_file else ()
    train = Train(data=data or tyro.MISSING, run_folder=tyro.MISSING, settings=settings)
    return {name: train}


def _train_settings(basis: Basis) -> TrainConfig:
    from trainer.launch import chosen_settings

    return chosen_settings(
        config=basis.config,
        from_run=basis.from_run,
        run=basis.run,
        file=basis.settings_file,
        changes=basis.set,
    )


if __name__ == "__main__":
    sys.exit(main())
