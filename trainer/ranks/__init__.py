"""The processes of a run: who they are, what they exchange, when they stop."""

from __future__ import annotations

from trainer.ranks.collectives import gather, gather_with_gradient, rank
from trainer.ranks.data_supply import DataSupply
from trainer.ranks.readback import Readback
from trainer.ranks.stop_signal import StopConsensus, StopSignal
from trainer.ranks.world import World, default_device, join_world, rank_and_world_size

__all__ = [
    "DataSupply",
    "Readback",
    "StopConsensus",
    "StopSignal",
    "World",
    "default_device",
    "gather",
    "gather_with_gradient",
    "join_world",
    "rank",
    "rank_and_world_size",
]
