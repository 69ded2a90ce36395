"""Triton kernels of batch normalization over channels-last activations, for `fused_norm`.

An activation is a matrix of M positions x C channels, C contiguous. Every kernel reads or writes
each element once, in the activation's own precision, and computes in float32.

    sums         x            -> sums of (x - k) and (x - k)^2 by channel, k near the mean
    apply        x, short     -> relu(x * scale + shift + short)
    grad_sums    dy, more, x  -> sums of dz and dz * (x - mean), dz being dy + more where the relu
                                 was open; and dz itself for the shortcut
    grad_apply   dy or dz, x  -> dx

Sums are written by program and added up by `finish_stats` and `finish_grads`, so that the same
input always gives the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: How `grad_sums` and `grad_apply` know where the relu was open; the latter not from the output.
NO_RELU, FROM_INPUT, FROM_OUTPUT = 0, 1, 2


@triton.jit
def sums(x, near, partial, M, C: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr):
    """`partial` (programs, 2, C) float32 gets the sums of each program's rows."""
    program, step = tl.program_id(0), tl.num_programs(0) * BLOCK_M
    cols = tl.arange(0, BLOCK_C)
    in_cols = cols < C
    near_C = tl.load(near + cols, mask=in_cols, other=0.0)
    first = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    second = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    for start in range(program * BLOCK_M, M, step):
        rows = start + tl.arange(0, BLOCK_M)
        mask = (rows < M)[:, None] & in_cols[None, :]
        at = rows.to(tl.int64)[:, None] * C + cols[None, :]
        value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        value = tl.where(mask, value - near_C[None, :], 0.0)
        first += value
        second += value * value
    out = partial + program * 2 * C + cols
    tl.store(out, tl.sum(first, axis=0), mask=in_cols)
    tl.store(out + C, tl.sum(second, axis=0), mask=in_cols)


@triton.jit
def finish_stats(
    partial, num_partials, count, near, mean, rstd, running_mean, running_var,
    momentum, eps, C, UPDATE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Mean and 1 / deviation by channel; running statistics move towards them if UPDATE."""
    cols = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    in_cols = cols < C
    first = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    second = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for start in range(0, num_partials, BLOCK_P):
        rows = start + tl.arange(0, BLOCK_P)
        mask = (rows < num_partials)[:, None] & in_cols[None, :]
        at = partial + rows[:, None] * 2 * C + cols[None, :]
        first += tl.load(at, mask=mask, other=0.0)
        second += tl.load(at + C, mask=mask, other=0.0)
    offset = tl.sum(first, axis=0) / count
    var = tl.maximum(tl.sum(second, axis=0) / count - offset * offset, 0.0)
    center = tl.load(near + cols, mask=in_cols, other=0.0) + offset
    tl.store(mean + cols, center, mask=in_cols)
    tl.store(rstd + cols, 1.0 / tl.sqrt(var + eps), mask=in_cols)
    if UPDATE:
        unbiased = var * (count / tl.maximum(count - 1.0, 1.0))
        old_mean = tl.load(running_mean + cols, mask=in_cols)
        old_var = tl.load(running_var + cols, mask=in_cols)
        tl.store(running_mean + cols, old_mean + momentum * (center - old_mean), mask=in_cols)
        tl.store(running_var + cols, old_var + momentum * (unbiased - old_var), mask=in_cols)


@triton.jit
def apply(
    x, short, y, weight, bias, mean, rstd, M, C: tl.constexpr,
    HAS_SHORT: tl.constexpr, RELU: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """`y` = relu((x - mean) * rstd * weight + bias + short)."""
    step = tl.num_programs(0) * BLOCK_M
    cols = tl.arange(0, BLOCK_C)
    in_cols = cols < C
    scale = tl.load(rstd + cols, mask=in_cols, other=0.0)
    scale *= tl.load(weight + cols, mask=in_cols, other=0.0)
    shift = tl.load(bias + cols, mask=in_cols, other=0.0)
    shift -= scale * tl.load(mean + cols, mask=in_cols, other=0.0)
    for start in range(tl.program_id(0) * BLOCK_M, M, step):
        rows = start + tl.arange(0, BLOCK_M)
        mask = (rows < M)[:, None] & in_cols[None, :]
        at = rows.to(tl.int64)[:, None] * C + cols[None, :]
        value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        value = value * scale[None, :] + shift[None, :]
        if HAS_SHORT:
            value += tl.load(short + at, mask=mask, other=0.0).to(tl.float32)
        if RELU:
            value = tl.maximum(value, 0.0)
        tl.store(y + at, value.to(y.dtype.element_ty), mask=mask)


@triton.jit
def grad_sums(
    dy, more, x, y, weight, bias, mean, rstd, partial, dz_out, M, C: tl.constexpr,
    OPEN: tl.constexpr, HAS_MORE: tl.constexpr, KEEPS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """`partial` (programs, 2, C) float32 gets the sums of dz and dz * (x - mean); `dz_out` gets dz
    if KEEPS."""
    program, step = tl.program_id(0), tl.num_programs(0) * BLOCK_M
    cols = tl.arange(0, BLOCK_C)
    in_cols = cols < C
    mean_C = tl.load(mean + cols, mask=in_cols, other=0.0)
    scale = tl.load(rstd + cols, mask=in_cols, other=0.0)
    scale *= tl.load(weight + cols, mask=in_cols, other=0.0)
    bias_C = tl.load(bias + cols, mask=in_cols, other=0.0)
    first = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    second = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    for start in range(program * BLOCK_M, M, step):
        rows = start + tl.arange(0, BLOCK_M)
        mask = (rows < M)[:, None] & in_cols[None, :]
        at = rows.to(tl.int64)[:, None] * C + cols[None, :]
        dz = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        if HAS_MORE:
            dz += tl.load(more + at, mask=mask, other=0.0).to(tl.float32)
        value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mean_C[None, :]
        if OPEN == 1:
            dz = tl.where(value * scale[None, :] + bias_C[None, :] > 0.0, dz, 0.0)
        if OPEN == 2:
            dz = tl.where(tl.load(y + at, mask=mask, other=0.0).to(tl.float32) > 0.0, dz, 0.0)
        if KEEPS:
            rounded = dz.to(dz_out.dtype.element_ty)
            tl.store(dz_out + at, rounded, mask=mask)
            dz = rounded.to(tl.float32)
        first += dz
        second += dz * value
    out = partial + program * 2 * C + cols
    tl.store(out, tl.sum(first, axis=0), mask=in_cols)
    tl.store(out + C, tl.sum(second, axis=0), mask=in_cols)


@triton.jit
def finish_grads(
    partial, num_partials, total, C, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """`total` (2, C) float32 gets the sums over all programs."""
    cols = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    in_cols = cols < C
    first = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    second = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for start in range(0, num_partials, BLOCK_P):
        rows = start + tl.arange(0, BLOCK_P)
        mask = (rows < num_partials)[:, None] & in_cols[None, :]
        at = partial + rows[:, None] * 2 * C + cols[None, :]
        first += tl.load(at, mask=mask, other=0.0)
        second += tl.load(at + C, mask=mask, other=0.0)
    tl.store(total + cols, tl.sum(first, axis=0), mask=in_cols)
    tl.store(total + C + cols, tl.sum(second, axis=0), mask=in_cols)


@triton.jit
def grad_apply(
    dy, x, weight, bias, mean, rstd, total, count, dx, M, C: tl.constexpr,
    OPEN: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """`dx` from dz and its sums over the batch; `dx` may be the memory of `dy`."""
    step = tl.num_programs(0) * BLOCK_M
    cols = tl.arange(0, BLOCK_C)
    in_cols = cols < C
    mean_C = tl.load(mean + cols, mask=in_cols, other=0.0)
    rstd_C = tl.load(rstd + cols, mask=in_cols, other=0.0)
    bias_C = tl.load(bias + cols, mask=in_cols, other=0.0)
    scale = rstd_C * tl.load(weight + cols, mask=in_cols, other=0.0)
    constant = scale * tl.load(total + cols, mask=in_cols, other=0.0) / count
    slope = scale * rstd_C * rstd_C * tl.load(total + C + cols, mask=in_cols, other=0.0) / count
    for start in range(tl.program_id(0) * BLOCK_M, M, step):
        rows = start + tl.arange(0, BLOCK_M)
        mask = (rows < M)[:, None] & in_cols[None, :]
        at = rows.to(tl.int64)[:, None] * C + cols[None, :]
        dz = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mean_C[None, :]
        if OPEN == 1:
            dz = tl.where(value * scale[None, :] + bias_C[None, :] > 0.0, dz, 0.0)
        grad = scale[None, :] * dz - constant[None, :] - slope[None, :] * value
        tl.store(dx + at, grad.to(dx.dtype.element_ty), mask=mask)


@triton.jit
def squares(
    x, y, num_pixels, H, W, OUT_H, OUT_W, PAD: tl.constexpr, LANES: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """(N, H, W, 3) -> (N, OUT_H, OUT_W, LANES): a 2x2 square of pixels becomes 12 channels.

    Channel c * 4 + row * 2 + column is that of `pixel_unshuffle`; PAD empty squares lie above and
    left, the rest below and right; lanes from 12 on are 0.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    lane = tl.arange(0, LANES)
    row, column = (at // OUT_W) % OUT_H - PAD, at % OUT_W - PAD
    image = (at // (OUT_W * OUT_H)).to(tl.int64)
    inside = (at < num_pixels) & (row >= 0) & (row < H // 2) & (column >= 0) & (column < W // 2)
    in_row = row[:, None] * 2 + (lane[None, :] // 2) % 2
    in_column = column[:, None] * 2 + lane[None, :] % 2
    source = ((image[:, None] * H + in_row) * W + in_column) * 3 + lane[None, :] // 4
    value = tl.load(x + source, mask=inside[:, None] & (lane < 12)[None, :], other=0.0)
    out = at.to(tl.int64)[:, None] * LANES + lane[None, :]
    tl.store(y + out, value.to(y.dtype.element_ty), mask=(at < num_pixels)[:, None])
