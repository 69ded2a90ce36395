"""The commands `train` and `plan`, and the defaults of their settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from shards_spec.cli import ExitCode
from trainer.config import RECIPES, TrainConfig, recipe
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy
from trainer.settings import Basis, SupplyConfig

RecipeName = Annotated[str, tyro.conf.arg(metavar=f"{{auto,{','.join(RECIPES)},MODULE:FUNCTION}}")]


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
