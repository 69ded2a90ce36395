"""What ranks agree on."""

from __future__ import annotations

from trainer.ranks.data_supply import Supply
from trainer.ranks.readback import Readback
from trainer.ranks.stop_request import Agreement, StopRequest
from trainer.ranks.world import World, default_device, join_world

__all__ = [
    "Agreement",
    "Readback",
    "StopRequest",
    "Supply",
    "World",
    "default_device",
    "join_world",
]
