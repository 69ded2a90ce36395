"""Convolutions of the towers: their initial weights, and how they run on two axes.

Shape suffixes: B clips, N clips * frames, C and O channels, T frames, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Conv:
    """A two-dimensional convolution, over rows and columns or over time."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    num_frames: int = 0
    """T of a convolution over time, which sees (B * T, C, H, W) as (B, C, T, H * W) without moving
    it; 0 for one over rows and columns."""

    @property
    def num_frames_out(self) -> int:
        """T after a convolution over time with 3 taps."""
        return (self.num_frames + 2 * self.padding[0] - 3) // self.stride[0] + 1

    def __call__(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N', O, H', W')."""
        if not self.num_frames:
            return functional.conv2d(x, weight, None, self.stride, self.padding)
        seen = _over_time(x, self.num_frames)
        return _unfold(functional.conv2d(seen, weight, None, self.stride, self.padding), x)

    def grads(
        self, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of input and weight."""
        seen = x
        if self.num_frames:
            dy, seen = _over_time(dy, self.num_frames_out), _over_time(x, self.num_frames)
        dx, dw, _ = torch.ops.aten.convolution_backward(
            *(dy, seen, weight, None, self.stride, self.padding),
            *((1, 1), False, (0, 0), 1, (True, True, False)),
        )
        return (_unfold(dx, x) if self.num_frames else dx), dw


def init_convolutions(module: nn.Module) -> None:
    """He initialization by fan-out for convolutions (arXiv:1502.01852)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def round_up(number: int, multiple: int) -> int:
    """The least multiple that is not less than `number`."""
    return -(-number // multiple) * multiple


def space_conv(num_in: int, num_out: int, size: int, stride: int) -> nn.Conv3d:
    """The part of a (2+1)D convolution over rows and columns, size x size."""
    pad = size // 2
    return nn.Conv3d(
        *(num_in, num_out, (1, size, size)), (1, stride, stride), (0, pad, pad), bias=False
    )


def time_conv(num_in: int, num_out: int, stride: int = 1) -> nn.Conv3d:
    """The part of a (2+1)D convolution over time, of three frames."""
    return nn.Conv3d(num_in, num_out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False)


def _over_time(x: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(B * T, C, H, W) -> (B, C, T, H * W), the same memory."""
    width, height, columns = x.shape[1:]
    rows = x.permute(0, 2, 3, 1).reshape(-1, num_frames, height * columns, width)
    return rows.permute(0, 3, 1, 2)


def _unfold(y: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, C, T, H * W) -> (B * T, C, H, W), with the rows and columns of `like`."""
    height, columns = like.shape[2:]
    return y.permute(0, 2, 3, 1).reshape(-1, height, columns, y.shape[1]).permute(0, 3, 1, 2)
