"""Batch normalization by parts: statistics, application, gradients; on kernels or on torch alone.

`KernelOps` launches the Triton kernels of `kernels` (one pass over memory each), `TorchOps`
has the same mathematics for any device. Activations are (N, C, H, W) with C contiguous (channels
last), in float32 or bfloat16; everything by channel is (C,) float32.

With several ranks and synchronized normalization the sums are added up over a process group.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from trainer.models.norm.values import Affine, Grads, Over, Running

#: Elements that a program holds at once and its warps, of 32 threads, by kernel: the fastest of
#: those tried on an H100 with 64 to 576 channels (2.1 to 2.9 TB/s; a copy runs at 2.9).
SUMS, APPLY, GRADS = (4096, 4), (16384, 16), (8192, 4)

#: Shape of the kernels that add up what the programs found.
FINISH = {"BLOCK_P": 512, "BLOCK_C": 16, "num_warps": 8}

#: Programs of one launch, 16 for each multiprocessor of an H100.
MAX_PROGRAMS = 2112


class NormOps(Protocol):
    """One implementation."""

    def stats(
        self, x: torch.Tensor, running: Running, eps: float, over: Over
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and rstd of the batch; `running` moves towards them."""

    def apply(
        self, x: torch.Tensor, affine: Affine, short: torch.Tensor | None, *, relu: bool
    ) -> torch.Tensor:
        """relu((x - mean) * rstd * weight + bias + short)."""

    def grads(
        self,
        dy: torch.Tensor,
        x: torch.Tensor,
        affine: Affine,
        over: Over,
        *,
        relu: bool,
        output: torch.Tensor | None = None,
        more: torch.Tensor | None = None,
        in_place: bool = False,
    ) -> Grads:
        """Gradients of `apply`. `output` is its result where a shortcut was added, else None;
        `more` is added to `dy`; with `in_place` the memory of `dy` is used for the gradient of x.
        """


class TorchOps:
    """On torch alone, for every device."""

    def stats(
        self, x: torch.Tensor, running: Running, eps: float, over: Over
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NormOps`."""
        x_MC = _full(_rows(x))
        count = len(x_MC) * over.num_ranks
        total = over.add_up(torch.stack((x_MC - running.mean, (x_MC - running.mean) ** 2)).sum(1))
        offset = total[0] / count
        var = (total[1] / count - offset**2).clamp(min=0.0)
        mean = running.mean + offset
        if running.momentum:
            unbiased = var * (count / max(1, count - 1))
            running.mean.lerp_(mean, running.momentum)
            running.var.lerp_(unbiased, running.momentum)
        return mean, (var + eps).rsqrt()

    def apply(
        self, x: torch.Tensor, affine: Affine, short: torch.Tensor | None, *, relu: bool
    ) -> torch.Tensor:
        """See `NormOps`."""
        scale = affine.weight * affine.rstd
        z = _full(x) * _wide(scale) + _wide(affine.bias - affine.mean * scale)
        z = z if short is None else z + _full(short)
        return (z.relu() if relu else z).to(x.dtype)

    def grads(
        self,
        dy: torch.Tensor,
        x: torch.Tensor,
        affine: Affine,
        over: Over,
        *,
        relu: bool,
        output: torch.Tensor | None = None,
        more: torch.Tensor | None = None,
        in_place: bool = False,
    ) -> Grads:
        """See `NormOps`."""
        scale = affine.weight * affine.rstd
        centered = _full(x) - _wide(affine.mean)
        dz = _full(dy) if more is None else _full(dy) + _full(more)
        if relu:
            is_open = (
                output > 0 if output is not None else self.apply(x, affine, None, relu=True) > 0
            )
            dz = dz * is_open
        if output is not None or more is not None:
            dz = _full(dz.to(x.dtype))
        local = torch.stack((_rows(dz).sum(0), _rows(dz * centered).sum(0)))
        dx = dz * _wide(scale)
        if over.is_batch:
            total = over.add_up(local.clone()) / (_rows(x).shape[0] * over.num_ranks)
            dx = dx - _wide(scale * total[0])
            dx = dx - _wide(scale * affine.rstd**2 * total[1]) * centered
        short = dz.to(x.dtype) if output is not None else None
        return Grads(dx.to(x.dtype), local[1] * affine.rstd, local[0], short)


class KernelOps:
    """On the Triton kernels; CUDA devices."""

    def __init__(self) -> None:
        from trainer.models.norm import kernels

        self._kernels: Any = kernels

    def stats(
        self, x: torch.Tensor, running: Running, eps: float, over: Over
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NormOps`."""
        kernels, launch = self._kernels, _Launch.of(x, *SUMS)
        # Sums of what is left after the running mean, which is near: squares of large means would
        # cancel, and every rank has the same one.
        partial = x.new_empty((launch.num_programs, 2, launch.width), dtype=torch.float32)
        near = running.mean.clone()
        kernels.sums[(launch.num_programs,)](x, near, partial, launch.height, **launch.blocks)
        if over.group is not None:
            partial = over.add_up(self._total(partial))[None]
        mean, rstd = torch.empty_like(near), torch.empty_like(near)
        kernels.finish_stats[(launch.num_column_blocks,)](
            *(partial, len(partial), float(launch.height * over.num_ranks), near, mean, rstd),
            *(running.mean, running.var, running.momentum, eps, launch.width),
            **{"UPDATE": running.momentum > 0, **FINISH},
        )
        return mean, rstd

    def apply(
        self, x: torch.Tensor, affine: Affine, short: torch.Tensor | None, *, relu: bool
    ) -> torch.Tensor:
        """See `NormOps`."""
        launch, y = _Launch.of(x, *APPLY), torch.empty_like(x)
        self._kernels.apply[(launch.num_programs,)](
            *(x, x if short is None else short, y),
            *(affine.weight, affine.bias, affine.mean, affine.rstd, launch.height),
            **{"HAS_SHORT": short is not None, "RELU": relu, **launch.blocks},
        )
        return y

    def grads(
        self,
        dy: torch.Tensor,
        x: torch.Tensor,
        affine: Affine,
        over: Over,
        *,
        relu: bool,
        output: torch.Tensor | None = None,
        more: torch.Tensor | None = None,
        in_place: bool = False,
    ) -> Grads:
        """See `NormOps`."""
        kernels, launch, apply = self._kernels, _Launch.of(x, *SUMS), _Launch.of(x, *GRADS)
        opened = kernels.NO_RELU
        if relu:
            opened = kernels.FROM_INPUT if output is None else kernels.FROM_OUTPUT
        by_channel = (affine.weight, affine.bias, affine.mean, affine.rstd)
        partial = x.new_empty((launch.num_programs, 2, launch.width), dtype=torch.float32)
        # The gradient behind the relu is written if the second pass would read more without it.
        dz = None if output is None and more is None else torch.empty_like(x)
        kernels.grad_sums[(launch.num_programs,)](
            *(dy, dy if more is None else more, x, x if output is None else output),
            *(*by_channel, partial, dy if dz is None else dz, launch.height),
            **{"OPEN": opened, "HAS_MORE": more is not None, "KEEPS": dz is not None},
            **launch.blocks,
        )
        local = self._total(partial)
        if over.is_batch:
            total = local if over.group is None else over.add_up(local.clone())
        else:
            total = torch.zeros_like(local)
        if dz is not None:
            dy, opened, in_place = dz, kernels.NO_RELU, output is None
        dx = dy if in_place else torch.empty_like(x)
        kernels.grad_apply[(apply.num_programs,)](
            *(dy, x, *by_channel, total, float(launch.height * over.num_ranks), dx, launch.height),
            **{"OPEN": opened, **apply.blocks},
        )
        return Grads(dx, local[1] * affine.rstd, local[0], None if output is None else dz)

    def _total(self, partial: torch.Tensor) -> torch.Tensor:
        """(programs, 2, C) -> (2, C)."""
        width = partial.shape[2]
        total = partial.new_empty((2, width))
        self._kernels.finish_grads[(-(-width // FINISH["BLOCK_C"]),)](
            *(partial, len(partial), total, width), **FINISH
        )
        return total


@dataclass(frozen=True)
class _Launch:
    """Shape of a kernel's launch over an activation."""

    height: int
    """M, positions."""
    width: int
    """C, channels."""
    num_programs: int
    blocks: dict[str, int]

    @staticmethod
    def of(x: torch.Tensor, tile: int, num_warps: int) -> _Launch:
        """For programs that hold `tile` elements at once."""
        height, width = _rows(x).shape
        block_c = max(16, 1 << (width - 1).bit_length())
        block_m = max(1, tile // block_c)
        # The sums of many programs of wide activations would be many bytes themselves.
        most = MAX_PROGRAMS if width <= 256 else MAX_PROGRAMS // 4
        num_programs = min(most, -(-height // block_m))
        blocks = {"C": width, "BLOCK_M": block_m, "BLOCK_C": block_c, "num_warps": num_warps}
        return _Launch(height, width, num_programs, blocks)

    @property
    def num_column_blocks(self) -> int:
        return -(-self.width // FINISH["BLOCK_C"])


def has_kernels(x: torch.Tensor) -> bool:
    """Whether Triton kernels can run on `x`."""
    if not x.is_cuda or x.dtype == torch.float64:
        return False
    return _has_triton() and not torch.compiler.is_compiling()


def ops_for(x: torch.Tensor) -> NormOps | None:
    """The kernels where they can run on `x`, else None."""
    return _kernel_ops() if has_kernels(x) else None


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _kernel_ops() -> KernelOps:
    return KernelOps()


def _rows(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W), channels last -> the same memory as (N * H * W, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _wide(by_channel: torch.Tensor) -> torch.Tensor:
    return by_channel[:, None, None]


def _full(x: torch.Tensor) -> torch.Tensor:
    """In float32, or float64 as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
