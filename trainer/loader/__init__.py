"""From bytes to the memory of a batch (no torch)."""

from __future__ import annotations

from trainer.loader.config import StreamConfig
from trainer.loader.decode import cached_memory
from trainer.loader.loader import BatchShape, Loader, Problem, Problems, Slots, Work
from trainer.loader.messages import receive_message, send_message
from trainer.loader.worker import Answer, Forget, Order, Setup

__all__ = [
    "Answer",
    "BatchShape",
    "Forget",
    "Loader",
    "Order",
    "Problem",
    "Problems",
    "Setup",
    "Slots",
    "StreamConfig",
    "Work",
    "cached_memory",
    "receive_message",
    "send_message",
]
