"""`python -m trainer train | plan | evaluate | export | study`: shards to models.

Exit codes: 0 done, or stopped by SIGTERM with a checkpoint; 1 training diverged, or what was to be
proven was not; 2 bad arguments, or something that a run needs cannot be used; 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from shards_spec.errors import InputError, ReelshardsError
from trainer.config import TrainConfig, saved_config
from trainer.plan import BatchPolicy
from trainer.recipes import RECIPES
from trainer.study.config import StudyConfig, World

RecipeName = Literal["auto", "small", "study", "study-gpu", "r2plus1d18"]

PROGRAM = "python -m trainer"

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """Train a model from shards; in the folder of an unfinished run, go on with it."""

    data: str
    """URI of the dataset."""
    run: Path
    """Folder of the run: metrics.jsonl, config.json, checkpoints/."""
    config: RecipeName = "auto"
    """Recipe that the settings below start from; auto is r2plus1d18 with a GPU, else small, or
    what the folder's run was started with."""
    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]


@dataclass(frozen=True, kw_only=True)
class PlanArguments:
    """Show what a batch policy gives on a dataset, before training on it."""

    data: str
    """URI of the dataset."""
    config: RecipeName = "auto"
    """Recipe that policy and seed come from."""
    dump: str = ""
    """File to write the global batches to, one JSON line a step; empty for none."""
    epochs: int = 1
    """Epochs in the dump."""
    json: bool = False
    """Machine-readable output."""
    seed: int = 0
    """Decides the batches."""
    policy: BatchPolicy


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """Judge what a run has learnt on movies that it did not train on."""

    data: str
    """URI of the dataset."""
    run: Path
    """Folder of the run."""
    labels: Path | None = None
    """CSV with the columns source, start_seconds, end_seconds, label, for the class probe."""
    label_column: str = ""
    """Column of the index of clips to take as the class, instead of a table."""
    min_lift: float = 0.0
    """Exit with 1 unless within-movie R@1 is at least this many times chance, both ways."""
    json: bool = False
    """Machine-readable output."""


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """Write a run's encoders as safetensors, with their preprocessing and a model card."""

    run: Path
    """Folder of the run."""
    out: Path
    """Folder for the files; made if it is missing."""


@dataclass(frozen=True, kw_only=True)
class StudyArguments:
    """Train and judge runs that differ in one thing each, the share of within-movie negatives
    first of all; write a page of what came out."""

    data: str
    """URI of the main dataset."""
    run: Path
    """Folder of the study; each run gets a folder in it, finished ones are kept."""
    labels: Path | None = None
    """CSV with the columns source, start_seconds, end_seconds, label, for the class probe."""
    name: str = "the movies"
    """What the main dataset is, in a few words."""
    others: tuple[tuple[str, str, Path], ...] = ()
    """Further datasets for the comparison `worlds`: name, URI and labels of each."""
    config: RecipeName = "study"
    """Recipe of all runs."""
    study: tyro.conf.OmitArgPrefixes[StudyConfig] = field(default_factory=StudyConfig)


def train_command(arguments: Sequence[str]) -> int:
    """train a model from shards, or go on training it"""
    settings = _settings(arguments)
    default = TrainArguments(data=tyro.MISSING, run=tyro.MISSING, settings=settings)
    given = _parse("train", TrainArguments, arguments, default)
    from trainer.train import NonFiniteLossError, train

    try:
        train(given.data, given.run, given.settings)
    except NonFiniteLossError as error:
        return _complain(str(error), FAILED)
    except KeyboardInterrupt:
        advice = "the same command goes on from the newest checkpoint there"
        return _complain(f"interrupted; what {given.run} holds is whole: {advice}", INTERRUPTED)
    return DONE


def plan_command(arguments: Sequence[str]) -> int:
    """show what a batch policy gives on a dataset"""
    recipe = _recipe(_option(arguments, "--config", "auto"))
    default = PlanArguments(data=tyro.MISSING, policy=recipe.policy, seed=recipe.seed)
    given = _parse("plan", PlanArguments, arguments, default)
    from trainer import plan_report

    return plan_report.plan_command(
        given.data, given.policy, given.seed, given.epochs, given.dump, given.json
    )


def evaluate_command(arguments: Sequence[str]) -> int:
    """judge what a run has learnt on movies that it did not train on"""
    given = _parse("evaluate", EvaluateArguments, arguments)
    from trainer.evaluate import evaluate

    found = evaluate.evaluate(given.data, given.run, given.labels, given.label_column)
    _say(found.to_text() if given.json else "\n".join(found.lines()))
    lifts = found.lifts().values()
    # No movie with two clips is no proof either.
    if given.min_lift and min(lifts, default=0.0) < given.min_lift:
        return _complain(f"within-movie R@1 is below {given.min_lift:g} times chance", FAILED)
    return DONE


def export_command(arguments: Sequence[str]) -> int:
    """write a run's encoders as safetensors, with a model card"""
    given = _parse("export", ExportArguments, arguments)
    from trainer.evaluate import export

    return _say("\n".join(str(path) for path in export(given.run, given.out)))


def study_command(arguments: Sequence[str]) -> int:
    """compare runs with more and fewer within-movie negatives"""
    given = _parse("study", StudyArguments, arguments)
    from trainer.study.runner import study

    worlds = [World(name=given.name, data=given.data, labels=given.labels)]
    worlds += [World(name=name, data=data, labels=labels) for name, data, labels in given.others]
    outcome = study(worlds, given.run, _recipe(given.config), given.study)
    return _say("\n".join(outcome.lines()))


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": train_command,
    "plan": plan_command,
    "evaluate": evaluate_command,
    "export": export_command,
    "study": study_command,
}


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    # Idle OpenMP threads spin by default; beside the threads that decode clips, that made steps on
    # a busy 2-core machine ten times slower. OpenMP reads this once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not arguments or arguments[0] in ("-h", "--help"):
        _say(_usage())
        return DONE if arguments else BAD_INPUT
    command = COMMANDS.get(arguments[0])
    if command is None:
        return _complain(f"there is no command {arguments[0]!r}; one of {', '.join(COMMANDS)}")
    try:
        return command(arguments[1:])
    except ReelshardsError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)


def _settings(arguments: Sequence[str]) -> TrainConfig:
    """What the flags of `train` start from: the recipe, or the settings of the run at hand."""
    recipe, run = _option(arguments, "--config", ""), _option(arguments, "--run", "")
    saved = saved_config(Path(run)) if run and not recipe else None
    # A run that was told to stop at some step would otherwise stop there again at once, and one
    # that was told to accept a grown dataset would accept the next one unasked.
    if saved:
        return dataclasses.replace(saved, stop_at_step=0, accept_grown=False)
    return _recipe(recipe or "auto")


def _recipe(name: str) -> TrainConfig:
    if name == "auto":
        import torch

        name = "r2plus1d18" if torch.cuda.is_available() else "small"
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; one of auto, {', '.join(RECIPES)}")
    return RECIPES[name]()


def _option(arguments: Sequence[str], name: str, default: str) -> str:
    """A flag's value, before the flags are parsed in earnest."""
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
        if argument == name and place + 1 < len(arguments):
            return arguments[place + 1]
    return default


def _parse(command: str, kind: type[_T], arguments: Sequence[str], default: _T | None = None) -> _T:
    prog, args = f"{PROGRAM} {command}", list(arguments)
    if default is None:
        return tyro.cli(kind, prog=prog, args=args)
    return tyro.cli(kind, prog=prog, args=args, default=default)


def _usage() -> str:
    lines = [f"  {name:10}{command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join(
        (f"usage: {PROGRAM} COMMAND --data URI ...", "", *lines, "", "COMMAND --help says more.")
    )


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    return DONE


def _complain(text: str, code: int = BAD_INPUT) -> int:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
