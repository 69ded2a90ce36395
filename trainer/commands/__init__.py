"""The commands that describe batches and runs: their flags and what they print.

torch takes seconds to import, so every command imports what it needs when it runs.
"""

from __future__ import annotations

from shards_spec.cli import Command
from trainer.commands.plan import Plan, RecipeName
from trainer.commands.results import Evaluate, Export, Exposure, Plot

#: Every command of the room by name.
COMMANDS: dict[str, type[Command]] = {
    "plan": Plan,
    "evaluate": Evaluate,
    "export": Export,
    "exposure": Exposure,
    "plot": Plot,
}

__all__ = ["COMMANDS", "Plan", "RecipeName"]
