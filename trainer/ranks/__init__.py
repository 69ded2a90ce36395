"""The processes of a run: who they are, what they exchange, when they stop."""

from __future__ import annotations

from trainer.ranks import collectives, stop_signal, world
from trainer.ranks.data_supply import DataSupply
from trainer.ranks.readback import Readback

__all__ = [
    "DataSupply",
    "Readback",
    "collectives",
    "stop_signal",
    "world",
]
