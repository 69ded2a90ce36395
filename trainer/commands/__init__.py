"""The commands that train and evaluate models or describe runs: their flags and what they print.

torch takes seconds to import, so every command imports what it needs when it runs.
"""

from __future__ import annotations

from shards_spec.cli import Command
from trainer.commands.results import Analyse, Evaluate, Export, Exposure, Plot
from trainer.commands.training import Plan, RecipeName, Train, default_settings

#: Every command of the room by name.
COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    "plan": Plan,
    "evaluate": Evaluate,
    "export": Export,
    "exposure": Exposure,
    "analyse": Analyse,
    "plot": Plot,
}

__all__ = ["COMMANDS", "RecipeName", "Train", "default_settings"]
