"""This process among those of a run: a single process, or one rank started by torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from trainer.ranks.readback import Readback


@dataclass(frozen=True)
class World:
    """One process of a run."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files and prints to the console."""
        return self.rank == 0

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over ranks; every rank must call it."""
        if self.world_size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.world_size

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        """Every rank's values, in rank order; every rank must call it with equally many."""
        if self.world_size == 1:
            return [list(values)]
        own = torch.tensor(values, dtype=torch.float64, device=self.device)
        pieces = [torch.empty_like(own) for _ in range(self.world_size)]
        dist.all_gather(pieces, own)
        return [piece.tolist() for piece in pieces]

    def sum_later(self, value: float) -> Readback:
        """The sum over ranks, not waited for; every rank must call it."""
        # Not `torch.tensor`, whose copy to a device blocks.
        total = torch.full((), value, device=self.device)
        if self.world_size > 1:
            dist.all_reduce(total)
        return Readback(total)

    def wait(self) -> None:
        """Block until every rank has called this."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def join_world() -> Iterator[World]:
    """Join the process group described by torchrun's variables; a single process without them."""
    device = default_device()
    if dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size(), device)
    elif "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield World(0, 1, device)
    else:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        try:
            yield World(dist.get_rank(), dist.get_world_size(), device)
        finally:
            dist.destroy_process_group()


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank and the number of ranks: of the process group, else by torchrun's
    variables, else (0, 1). Joins no process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return 0, 1


def default_device() -> torch.device:
    """This process's GPU, or the CPU without one."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")
