"""Batch normalization + relu (+ shortcut) + the convolution after it, in few passes over memory.

On a GPU a (2+1)D network spends as much time on normalization as on convolutions when each of its
steps is a kernel of its own. Here an activation is read once for its statistics and once to be
normalized; backward, twice. `norm_conv` can also drop the normalized activation, which is cheap to
recompute, and so nearly halves what a network keeps for its backward pass.

Modules are torch's own (`nn.BatchNorm2d`, `BatchNorm3d`, `SyncBatchNorm`): names, running
statistics and results are theirs. Activations are (N, C, H, W) in channels-last memory; they may
have more channels than the module, which are 0 and stay 0.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

from trainer.models.convolutions import Conv
from trainer.models.norm.ops import NormOps, TorchOps, ops_for
from trainer.models.norm.replay import is_replaying
from trainer.models.norm.values import Affine, Over, Running

Norm = nn.modules.batchnorm._BatchNorm


def norm_act(
    x: torch.Tensor, norm: Norm, short: torch.Tensor | None = None, *, relu: bool = True
) -> torch.Tensor:
    """relu(norm(x) + short)."""
    return _norm_act(x, norm, short, relu=relu)[0]


def norm_act_twice(
    x: torch.Tensor, norm: Norm, short: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """relu(norm(x) + short), for two readers.

    Their gradients are added up where they are read for the statistics, in no pass of its own.
    """
    return _norm_act(x, norm, short, relu=True)


def _norm_act(
    x: torch.Tensor, norm: Norm, short: torch.Tensor | None, *, relu: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    ops = _ops(x, norm)
    if ops is None:
        z = _plain(x, norm)
        z = z if short is None else z + short
        z = functional.relu(z, inplace=True) if relu else z
        return z, z
    x, short = _channels_last(x), None if short is None else _channels_last(short)
    weight, bias, mean, rstd, over = _prepare(x, norm, ops)
    pair: tuple[torch.Tensor, torch.Tensor] = _NormAct.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, mean, rstd, short, relu, over, ops
    )
    return pair


def norm_conv(
    x: torch.Tensor, norm: Norm, conv: Conv, weight: torch.Tensor, *, num_parts: int = 0
) -> torch.Tensor:
    """conv(relu(norm(x)), weight).

    `num_parts` 0 keeps the normalized activation for the backward pass; otherwise it is recomputed
    then, in that many parts of the batch, with the same gradients (up to the order of sums).
    """
    ops = _ops(x, norm)
    if ops is None:
        return conv(functional.relu(_plain(x, norm), inplace=True), weight)
    x = _channels_last(x)
    gamma, beta, mean, rstd, over = _prepare(x, norm, ops)
    y: torch.Tensor = _NormConv.apply(  # type: ignore[no-untyped-call]
        x, gamma, beta, mean, rstd, weight, conv, num_parts, over, ops
    )
    return y


def runs_on_kernels(x: torch.Tensor, norm: Norm) -> bool:
    """Whether `norm_act` and `norm_conv` would use kernels on such an activation."""
    return _ops(x, norm) is not None


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        rstd: torch.Tensor,
        short: torch.Tensor | None,
        relu: bool,
        over: Over,
        ops: NormOps,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        y = ops.apply(x, Affine(weight, bias, mean, rstd), short, relu=relu)
        ctx.save_for_backward(x, weight, bias, mean, rstd, *([] if short is None else [y]))
        ctx.relu, ctx.over, ctx.ops = relu, over, ops
        # A reader that does not exist has no gradient, rather than one of zeros.
        ctx.set_materialize_grads(False)
        return y, y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, bias, mean, rstd, *output = ctx.saved_tensors
        dy, *more = (_channels_last(grad) for grad in grads if grad is not None)
        input_grads = ctx.ops.grads(
            dy,
            x,
            Affine(weight, bias, mean, rstd),
            ctx.over,
            relu=ctx.relu,
            output=output[0] if output else None,
            more=more[0] if more else None,
        )
        return (
            input_grads.x,
            input_grads.weight,
            input_grads.bias,
            None,
            None,
            input_grads.short,
            None,
            None,
            None,
        )


class _NormConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        rstd: torch.Tensor,
        kernel: torch.Tensor,
        conv: Conv,
        num_parts: int,
        over: Over,
        ops: NormOps,
    ) -> torch.Tensor:
        active = ops.apply(x, Affine(weight, bias, mean, rstd), None, relu=True)
        kernel_x = kernel.to(x.dtype, memory_format=torch.channels_last)
        kept = [] if num_parts else [active]
        ctx.save_for_backward(x, weight, bias, mean, rstd, kernel_x, *kept)
        ctx.conv, ctx.num_parts, ctx.over, ctx.ops = conv, num_parts, over, ops
        ctx.kernel_dtype = kernel.dtype
        # The operands have their precision already.
        with torch.autocast(x.device.type, enabled=False):
            return conv(active, kernel_x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, bias, mean, rstd, kernel, *active = ctx.saved_tensors
        conv, affine = ctx.conv, Affine(weight, bias, mean, rstd)
        dy = _channels_last(grads[0])
        if active:
            da, dk = conv.grads(dy, active[0], kernel)
            del active
        else:
            da, dk = _grads_by_parts(dy, x, affine, kernel, conv, ctx.num_parts, ctx.ops)
        # Nothing else has `da`, so its memory becomes that of the gradient of x.
        input_grads = ctx.ops.grads(
            _channels_last(da), x, affine, ctx.over, relu=True, in_place=True
        )
        kernel_grad = dk.to(ctx.kernel_dtype)
        first = (input_grads.x, input_grads.weight, input_grads.bias, None, None, kernel_grad)
        return (*first, None, None, None, None)


def _grads_by_parts(
    dy: torch.Tensor,
    x: torch.Tensor,
    affine: Affine,
    kernel: torch.Tensor,
    conv: Conv,
    num_parts: int,
    ops: NormOps,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the convolution's input and kernel, with the input recomputed."""
    num_clips = len(x) // (conv.num_frames or 1)
    num_parts = max(1, min(num_parts, num_clips))
    if num_parts == 1:
        return conv.grads(dy, ops.apply(x, affine, None, relu=True), kernel)
    da = torch.empty_like(x)
    dk = torch.zeros_like(kernel, dtype=torch.float32)
    bounds = [num_clips * part // num_parts for part in range(num_parts + 1)]
    for first, last in itertools.pairwise(bounds):
        rows_in = slice(first * (conv.num_frames or 1), last * (conv.num_frames or 1))
        out = conv.num_frames_out if conv.num_frames else 1
        rows_out = slice(first * out, last * out)
        part = ops.apply(x[rows_in], affine, None, relu=True)
        da[rows_in], dk_part = conv.grads(dy[rows_out], part, kernel)
        dk += dk_part
    return da, dk


def _prepare(
    x: torch.Tensor, norm: Norm, ops: NormOps
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Over]:
    """Weight, bias, mean, rstd (C,) and what they were taken over; moves running statistics."""
    num_zeros = x.shape[1] - norm.num_features
    weight = functional.pad(norm.weight, (0, num_zeros)) if num_zeros else norm.weight
    bias = functional.pad(norm.bias, (0, num_zeros)) if num_zeros else norm.bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        mean, var = norm.running_mean, norm.running_var
        if num_zeros:
            mean = functional.pad(mean, (0, num_zeros))
            var = functional.pad(var, (0, num_zeros), value=1.0)
        if not norm.training:
            return weight, bias, mean, (var + norm.eps).rsqrt(), Over(is_batch=False)
        moves = not is_replaying()
        momentum = 0.1 if norm.momentum is None else norm.momentum
        over = Over(_group(norm))
        running = Running(mean, var, momentum if moves else 0.0)
        found_mean, rstd = ops.stats(x.detach(), running, norm.eps, over)
        if moves:
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked.add_(1)
            if num_zeros:
                norm.running_mean.copy_(mean[: norm.num_features])
                norm.running_var.copy_(var[: norm.num_features])
    return weight, bias, found_mean, rstd, over


def _plain(x: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The module itself, regardless of the number of axes that its class expects."""
    momentum = 0.1 if norm.momentum is None else norm.momentum
    if norm.training and not is_replaying() and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return functional.batch_norm(
        x,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        norm.training,
        0.0 if is_replaying() else momentum,
        norm.eps,
    )


def _group(norm: Norm) -> Any:
    """The ranks that a synchronized module shares statistics with; None without others."""
    if not isinstance(norm, nn.SyncBatchNorm) or not dist.is_initialized():
        return None
    group = norm.process_group or dist.group.WORLD
    return group if dist.get_world_size(group) > 1 else None


def _ops(x: torch.Tensor, norm: Norm) -> NormOps | None:
    if _forced is not None:
        return _forced
    needs_group = norm.training and _group(norm) is not None
    if torch.compiler.is_compiling() or not norm.training:
        return TorchOps() if needs_group else None
    return ops_for(x) or (TorchOps() if needs_group else None)


_forced: NormOps | None = None


@contextlib.contextmanager
def forced(ops: NormOps) -> Iterator[None]:
    """Use this implementation on every device."""
    global _forced
    before, _forced = _forced, ops
    try:
        yield
    finally:
        _forced = before


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)
