"""Forward passes that repeat an earlier one, for backward passes that recompute activations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Output = TypeVar("Output", torch.Tensor, tuple[torch.Tensor, torch.Tensor])

_is_replaying = False


def is_replaying() -> bool:
    """Whether running statistics must stay where an earlier pass left them."""
    return _is_replaying


@contextlib.contextmanager
def replaying() -> Iterator[None]:
    """A forward pass that repeats an earlier one: running statistics stay where that left them."""
    global _is_replaying
    before, _is_replaying = _is_replaying, True
    try:
        yield
    finally:
        _is_replaying = before


def checkpointed(part: Callable[..., Output], *inputs: torch.Tensor) -> Output:
    """Run a part of the network that the backward pass will run again."""
    output: Output = checkpoint(
        part,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (contextlib.nullcontext(), replaying()),
    )
    return output
