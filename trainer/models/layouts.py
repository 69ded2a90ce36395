"""Activations in other arrangements, each in one pass over memory.

Activations are (N, C, H, W) in channels-last memory; N counts the frames of all clips.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from trainer.models.convolutions import round_up
from trainer.models.norm.ops import has_kernels


def squares(x: torch.Tensor, *, before: int, after: int, lanes: int) -> torch.Tensor:
    """(N, C, H, W) -> (N, lanes, H / 2 + before + after, W / 2 + before + after).

    Each 2x2 square of pixels becomes one pixel of 4 C channels, in the order of `pixel_unshuffle`;
    `before` and `after` count empty squares around them; further channels are 0. An odd number of
    rows or columns is completed by an empty one.
    """
    rows, columns = x.shape[2:]
    if rows % 2 or columns % 2:
        x = functional.pad(x, (0, columns % 2, 0, rows % 2))
    if not has_kernels(x) or x.requires_grad or x.shape[1] != 3:
        squares = functional.pixel_unshuffle(x, 2)
        extra = lanes - squares.shape[1]
        squares = functional.pad(squares, (before, after, before, after, 0, extra))
        return squares.contiguous(memory_format=torch.channels_last)
    from trainer.models.norm import kernels

    num, _, height, width = x.shape
    out = (num, lanes, height // 2 + before + after, width // 2 + before + after)
    y = torch.empty(out, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    num_pixels, block = num * out[2] * out[3], 256
    kernels.squares[(-(-num_pixels // block),)](
        *(x.contiguous(memory_format=torch.channels_last), y, num_pixels),
        *(height, width, out[2], out[3]),
        **{"PAD": before, "LANES": lanes, "BLOCK": block},
    )
    return y


def stem_squares(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> what `stem_conv` reads: each 2x2 square of pixels as one pixel, as the
    channels of an image are too few for tensor cores."""
    # Output row o reads rows 2 o - 3 to 2 o + 3, which lie in the squares o - 2 to o + 1.
    return squares(x, before=2, after=1, lanes=round_up(4 * x.shape[1], 8))


def stem_conv(squares_NCHW: torch.Tensor, weight_OIKK: torch.Tensor, lanes: int) -> torch.Tensor:
    """A 7x7 convolution of stride 2 over pixels as a 4x4 one over their squares.

    Args:
        squares_NCHW: from `stem_squares`.
        weight_OIKK: (O, C, 7, 7), the weights over pixels.
        lanes: the output gets channels of 0 up to a multiple of this.
    """
    num_out = weight_OIKK.shape[0]
    extra_out = round_up(num_out, lanes) - num_out
    weight_OIKK = functional.pad(weight_OIKK, (1, 0, 1, 0, 0, 0, 0, extra_out))
    # (O, C, 4 * 2, 4 * 2) -> (O, C * 2 * 2, 4, 4), in the squares' order of channels.
    weight_OIKK = functional.pixel_unshuffle(weight_OIKK, 2)
    extra_in = squares_NCHW.shape[1] - weight_OIKK.shape[1]
    return functional.conv2d(squares_NCHW, functional.pad(weight_OIKK, (0, 0, 0, 0, 0, extra_in)))


def every_nth(
    x: torch.Tensor, num_frames: int, steps: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The activation itself, and every n-th frame, row and column of it for a strided shortcut.

    Both must be used; backward then adds the gradient of the chosen positions to the other in
    place, where indexing would fill a second activation with zeros.
    """
    if torch.compiler.is_compiling():
        return x, _chosen(x, num_frames, steps).contiguous(memory_format=torch.channels_last)
    main, chosen = _EveryNth.apply(x, num_frames, steps)  # type: ignore[no-untyped-call]
    return main, chosen


class _EveryNth(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, num_frames: int, steps: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.num_frames, ctx.steps = num_frames, steps
        chosen = _chosen(x, num_frames, steps)
        # A copy even where everything is chosen, as an output that is the input itself is not one.
        return x.view_as(x), chosen.clone(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        main = grads[0].contiguous(memory_format=torch.channels_last)
        seen, added = _grid(main, ctx.num_frames), grads[1].permute(0, 2, 3, 1)
        target = seen[:, :: ctx.steps[0], :: ctx.steps[1], :: ctx.steps[2]]
        target += added.reshape(target.shape)
        return main, None, None


def _grid(x: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(B * T, C, H, W) -> (B, T, H, W, C), the same memory."""
    num, width, height, columns = x.shape
    grid_shape = (num // num_frames, num_frames, height, columns, width)
    return x.permute(0, 2, 3, 1).reshape(grid_shape)


def _chosen(x: torch.Tensor, num_frames: int, steps: tuple[int, ...]) -> torch.Tensor:
    chosen = _grid(x, num_frames)[:, :: steps[0], :: steps[1], :: steps[2]]
    return chosen.flatten(0, 1).permute(0, 3, 1, 2)
