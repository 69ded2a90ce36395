"""The commands that train and evaluate models or describe runs: their flags and what they print.

torch takes seconds to import, so every command imports what it needs when it runs.
"""

from __future__ import annotations

from trainer.commands.results import Analyse, Evaluate, Export, Exposure, Plot
from trainer.commands.training import Plan, RecipeName, Train, default_settings

__all__ = [
    "Analyse",
    "Evaluate",
    "Export",
    "Exposure",
    "Plan",
    "Plot",
    "RecipeName",
    "Train",
    "default_settings",
]
