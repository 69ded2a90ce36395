"""The large video tower: clips of RGB frames -> one feature vector per clip.

`R2Plus1d` has the architecture and the parameter names of torchvision's `r2plus1d_18` (or, deeper,
of the published R(2+1)D-34) without the classifier `fc`, so published weights load by name.

It runs on two-dimensional convolutions, whose kernels are far faster than three-dimensional
ones: activations are (B * T, C, H, W) in channels-last memory, which a convolution over rows and
columns reads as it is and a convolution over time as (B, C, T, H * W). Nothing is moved in memory.

Shape suffixes: B clips, N clips * frames, C channels, T frames, H x W pixels, F features.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from trainer.models.convolutions import (
    Conv,
    init_convolutions,
    round_up,
    space_conv,
    time_conv,
)
from trainer.models.fused_norm import (
    norm_act,
    norm_act_twice,
    norm_conv,
    runs_on_kernels,
)
from trainer.models.layouts import every_nth, stem_conv, stem_squares
from trainer.models.norm.replay import checkpointed

#: Channels of the four stages.
R2PLUS1D_WIDTHS = (64, 128, 256, 512)

#: Blocks of the four stages, by number of layers.
R2PLUS1D_DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}

#: On a GPU, channels are filled up with zeros to a multiple of this: tensor cores work in eights,
#: and vector loads of 16 bytes need aligned rows.
LANES = 16

#: Parts of the batch in which a segment's normalized activations are recomputed.
NUM_PARTS = 4

Recompute = Literal["nothing", "norms", "segments"]
"""What the backward pass recomputes instead of reading it from memory: nothing; activations
after normalization; or all within each (2+1)D convolution, for a third more arithmetic."""

Pair = tuple[torch.Tensor, torch.Tensor]
"""An activation for two readers: the next convolution and the shortcut around it."""


class Conv2Plus1d(nn.Sequential):
    """A 3x3x3 convolution in two steps, space then time, with as many weights as the whole one."""

    def __init__(self, num_in: int, num_out: int, num_mid: int, stride: int = 1) -> None:
        super().__init__(
            space_conv(num_in, num_mid, 3, stride),
            nn.BatchNorm3d(num_mid),
            nn.ReLU(inplace=True),
            time_conv(num_mid, num_out, stride),
        )


class BasicBlock(nn.Module):
    """Two (2+1)D convolutions and a shortcut."""

    def __init__(
        self,
        num_in: int,
        num_out: int,
        stride: int = 1,
        lanes: int = 1,
        *,
        own_middle: bool = False,
    ) -> None:
        """`own_middle`: the second convolution has the middle channels that its own channels ask
        for, as in the published 34-layer network, not those of the first."""
        super().__init__()
        num_mid = round_up(_middle(num_in, num_out), lanes)
        num_mid_2 = round_up(_middle(num_out, num_out), lanes) if own_middle else num_mid
        self.conv1 = nn.Sequential(
            Conv2Plus1d(num_in, num_out, num_mid, stride),
            nn.BatchNorm3d(num_out),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            Conv2Plus1d(num_out, num_out, num_mid_2), nn.BatchNorm3d(num_out)
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or num_in != num_out:
            self.downsample = nn.Sequential(
                nn.Conv3d(num_in, num_out, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm3d(num_out),
            )

    def forward(self, pair: Pair, num_frames: int, recompute: Recompute) -> tuple[Pair, int]:
        """(B * T, num_in, H, W) and T -> (B * T', num_out, H', W') and T'."""
        first, mid_norm, _ = _parts(self.conv1)
        second, last_norm = _parts(self.conv2)
        x_NCHW, short_NCHW = pair
        if isinstance(self.downsample, nn.Sequential):
            conv: Any = self.downsample[0]
            steps = conv.stride
            x_NCHW, short_NCHW = every_nth(x_NCHW, num_frames, steps)
        parts = {"nothing": 0, "norms": 1, "segments": NUM_PARTS}[recompute]
        in_time = _over_time(first[3], num_frames)
        lanes = LANES if runs_on_kernels(x_NCHW, mid_norm) else 1
        num_frames_out = in_time.num_frames_out

        def begin(x_NCHW: torch.Tensor) -> torch.Tensor:
            mid_NCHW = _space_conv_of(first[0], x_NCHW, lanes)
            kernel = _kernel(first[3], mid_NCHW, lanes)
            return norm_conv(mid_NCHW, first[1], in_time, kernel, num_parts=parts)

        def finish(y_NCHW: torch.Tensor, short_NCHW: torch.Tensor) -> Pair:
            space, time = _over_space(second[0]), _over_time(second[3], num_frames_out)
            kernel = _kernel(second[0], y_NCHW, lanes)
            mid_NCHW = norm_conv(y_NCHW, mid_norm, space, kernel, num_parts=parts)
            kernel = _kernel(second[3], mid_NCHW, lanes)
            y_NCHW = norm_conv(mid_NCHW, second[1], time, kernel, num_parts=parts)
            return norm_act_twice(y_NCHW, last_norm, self._short(short_NCHW))

        if recompute == "segments" and torch.is_grad_enabled():
            y_NCHW = checkpointed(begin, x_NCHW)
            return checkpointed(finish, y_NCHW, short_NCHW), num_frames_out
        return finish(begin(x_NCHW), short_NCHW), num_frames_out

    def _short(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.downsample, nn.Sequential):
            return x_NCHW
        conv, norm = cast(Any, self.downsample)
        return norm_act(functional.conv2d(x_NCHW, _kernel(conv, x_NCHW, 1)), norm, relu=False)


class R2Plus1d(nn.Module):
    """R(2+1)D (arXiv:1711.11248) without classifier, 512 features: 31,300,125 parameters with 18
    layers, 63,491,975 with 34.

    `lanes` 16 rounds the channels between space and time up to multiples of 16 (45 -> 48, 230 ->
    240, 460 -> 464, 921 -> 928), which a GPU computes anyway.
    """

    num_features = R2PLUS1D_WIDTHS[-1]

    def __init__(self, lanes: int = 1, num_layers: int = 18) -> None:
        super().__init__()
        num_mid = round_up(45, lanes)
        self.stem = nn.Sequential(
            nn.Conv3d(3, num_mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
            nn.BatchNorm3d(num_mid),
            nn.ReLU(inplace=True),
            time_conv(num_mid, 64),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
        )
        widths = (64, *R2PLUS1D_WIDTHS)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                BasicBlock(
                    *(num_in, num_out),
                    stride=1 if number == 0 else 2,
                    lanes=lanes,
                    own_middle=num_layers == 34,
                ),
                *(BasicBlock(num_out, num_out, lanes=lanes) for _ in range(depth - 1)),
            )
            for number, ((num_in, num_out), depth) in enumerate(
                zip(itertools.pairwise(widths), R2PLUS1D_DEPTHS[num_layers], strict=True)
            )
        )
        self.recompute: Recompute = "nothing"
        init_convolutions(self)
        if num_layers == 34:
            # The published weights were trained with this value.
            for part in self.modules():
                if isinstance(part, nn.BatchNorm3d):
                    part.eps = 1e-3

    def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) normalized -> (B, 512)."""
        num_clips, _, num_frames = video_BCTHW.shape[:3]
        x_NCHW = video_BCTHW.transpose(1, 2).flatten(0, 1)
        x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
        pair = self._stem(x_NCHW, num_frames)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:
                pair, num_frames = block(pair, num_frames, self.recompute)
        x_NCHW = pair[0]
        features_NC = x_NCHW.mean(
            dim=(2, 3), dtype=torch.promote_types(x_NCHW.dtype, torch.float32)
        )
        return features_NC.view(num_clips, num_frames, -1).mean(dim=1)

    def kept_elements(self, num_frames: int, size: int, recompute: Recompute) -> float:
        """Numbers of activations per clip at the peak of a step, with what is in use around it.

        Args:
            num_frames: T of the input.
            size: H and W of the input, pixels.
        """
        keeps_active = recompute == "nothing"
        side = size // 2
        pixels = num_frames * side**2
        mid, out = (round_up(conv.out_channels, LANES) for conv in _parts(self.stem)[::3])
        kept = float(num_frames * (side + 3) ** 2 * LANES + pixels * out)
        if recompute != "segments":
            kept += pixels * (mid * (1 + keeps_active) + out)
        peak = kept
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in _parts(layer):
                first, second = block.conv1[0], block.conv2[0]
                side //= first[0].stride[1]
                mids = num_frames * side**2 * round_up(first[0].out_channels, LANES)
                num_frames = (num_frames - 1) // first[3].stride[0] + 1
                outs = num_frames * side**2 * first[3].out_channels
                mids_2 = num_frames * side**2 * round_up(second[0].out_channels, LANES)
                kept += outs if recompute == "segments" else 2 * outs if block.downsample else 0
                if recompute == "segments":
                    # What is recomputed, its gradient, and a part's input and gradient.
                    peak = max(peak, kept + mids_2 * (2 + 2 / NUM_PARTS) + 2 * outs)
                    kept += outs
                else:
                    kept += (mids + mids_2 + outs) * (1 + keeps_active) + 2 * outs
                    peak = max(peak, kept)
        return peak

    def _stem(self, x_NCHW: torch.Tensor, num_frames: int) -> Pair:
        conv, norm, _, in_time, last_norm, _ = _parts(self.stem)
        time = _over_time(in_time, num_frames)
        parts = 0 if self.recompute == "nothing" else 1
        on_kernels = runs_on_kernels(x_NCHW, norm)
        lanes = LANES if on_kernels else 1
        # Bytes of pixels become squares once, not again when the rest is.
        x_NCHW = stem_squares(x_NCHW) if on_kernels else x_NCHW

        def stem(x_NCHW: torch.Tensor) -> Pair:
            if on_kernels:
                mid_NCHW = stem_conv(x_NCHW, conv.weight.squeeze(2), lanes)
            else:
                mid_NCHW = _space_conv_of(conv, x_NCHW, lanes)
            kernel = _kernel(in_time, mid_NCHW, lanes)
            y_NCHW = norm_conv(mid_NCHW, norm, time, kernel, num_parts=parts)
            return norm_act_twice(y_NCHW, last_norm)

        if self.recompute == "segments" and torch.is_grad_enabled():
            return checkpointed(stem, x_NCHW)
        return stem(x_NCHW)


def _middle(num_in: int, num_out: int) -> int:
    """Channels between space and time that give as many weights as a full 3x3x3 convolution."""
    return (num_in * num_out * 27) // (num_in * 9 + 3 * num_out)


def _parts(sequence: nn.Sequential) -> list[Any]:
    return list(sequence)


def _over_space(conv: nn.Conv3d) -> Conv:
    stride: Any = conv.stride
    padding: Any = conv.padding
    return Conv(stride[1:], padding[1:])


def _over_time(conv: nn.Conv3d, num_frames: int) -> Conv:
    padding: Any = conv.padding
    return Conv((conv.stride[0], 1), (padding[0], 0), num_frames)


def _kernel(conv: nn.Conv3d, x_NCHW: torch.Tensor, lanes: int) -> torch.Tensor:
    """Weights as those of a two-dimensional convolution, for the channels that `x_NCHW` has, with
    output channels of 0 up to a multiple of `lanes`."""
    # Not by index, whose gradient would be copied into zeros.
    weight_OIKK = conv.weight.squeeze(2 if conv.kernel_size[0] == 1 else 4)
    extra_in = x_NCHW.shape[1] - conv.in_channels
    extra_out = round_up(conv.out_channels, lanes) - conv.out_channels
    if extra_in or extra_out:
        weight_OIKK = functional.pad(weight_OIKK, (0, 0, 0, 0, 0, extra_in, 0, extra_out))
    return weight_OIKK


def _space_conv_of(conv: nn.Conv3d, x_NCHW: torch.Tensor, lanes: int) -> torch.Tensor:
    return _over_space(conv)(x_NCHW, _kernel(conv, x_NCHW, lanes))
