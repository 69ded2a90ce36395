"""Gathering tensors of all ranks, with and without gradient; the identity in a single process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def gather(local: torch.Tensor) -> torch.Tensor:
    """The ranks' tensors, concatenated along the first axis in rank order; no gradient."""
    if world_size() == 1:
        return local
    pieces = [torch.empty_like(local) for _ in range(world_size())]
    dist.all_gather(pieces, local.contiguous())
    return torch.cat(pieces)


def gather_with_gradient(local_2BD: torch.Tensor) -> torch.Tensor:
    """(2, B, D) of each rank -> (2, N, D); each rank receives the gradients of all ranks."""
    if world_size() == 1:
        return local_2BD
    gathered: torch.Tensor = _GatherWithGradient.apply(local_2BD)  # type: ignore[no-untyped-call]
    return gathered


def rank() -> int:
    """This process's rank; 0 in a single process."""
    return dist.get_rank() if world_size() > 1 else 0


def world_size() -> int:
    """Number of ranks; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _GatherWithGradient(torch.autograd.Function):
    """Gathers along axis 1. Backward sums what every rank computed for this rank's part."""

    @staticmethod
    def forward(ctx: Any, local_2BD: torch.Tensor) -> torch.Tensor:
        ctx.num_own = local_2BD.shape[1]
        pieces = [torch.empty_like(local_2BD) for _ in range(world_size())]
        dist.all_gather(pieces, local_2BD.contiguous())
        return torch.cat(pieces, dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        # Not every supported torch has reduce-scatter for gloo, so all parts are reduced.
        grad_2ND = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad_2ND)
        first = rank() * ctx.num_own
        return grad_2ND[:, first : first + ctx.num_own]
