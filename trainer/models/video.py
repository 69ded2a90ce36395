"""Video towers: clips of RGB frames -> one feature vector a clip.

`R2Plus1d18` has the architecture and the parameter names of torchvision's `r2plus1d_18` without the
classifier `fc`, so published weights load by name. `SmallVideoNet` is ours, for CPUs.

Shape suffixes: B clips, C channels, T frames, H x W pixels, F features.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

#: Channels of the four stages.
R2PLUS1D_WIDTHS = (64, 128, 256, 512)
SMALL_WIDTHS = (24, 48, 96, 192)


class Conv2Plus1d(nn.Sequential):
    """A 3x3x3 convolution in two steps, space then time, with as many weights as the whole one."""

    def __init__(self, num_in: int, num_out: int, num_mid: int, stride: int = 1) -> None:
        super().__init__(
            _space_conv(num_in, num_mid, 3, stride),
            nn.BatchNorm3d(num_mid),
            nn.ReLU(inplace=True),
            _time_conv(num_mid, num_out, stride),
        )


class BasicBlock(nn.Module):
    """Two (2+1)D convolutions and a shortcut."""

    def __init__(self, num_in: int, num_out: int, stride: int = 1) -> None:
        super().__init__()
        # Weights of num_in -> num_mid -> num_out equal those of a full 3x3x3 convolution.
        num_mid = (num_in * num_out * 27) // (num_in * 9 + 3 * num_out)
        self.conv1 = nn.Sequential(
            Conv2Plus1d(num_in, num_out, num_mid, stride),
            nn.BatchNorm3d(num_out),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(Conv2Plus1d(num_out, num_out, num_mid), nn.BatchNorm3d(num_out))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or num_in != num_out:
            self.downsample = nn.Sequential(
                nn.Conv3d(num_in, num_out, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm3d(num_out),
            )

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, num_in, T, H, W) -> (B, num_out, T', H', W')."""
        short_BCTHW = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        out: torch.Tensor = self.relu(self.conv2(self.conv1(x_BCTHW)) + short_BCTHW)
        return out


class R2Plus1d18(nn.Module):
    """R(2+1)D-18 (arXiv:1711.11248) without classifier: 31,300,125 parameters, 512 features."""

    num_features = R2PLUS1D_WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 45, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
            nn.BatchNorm3d(45),
            nn.ReLU(inplace=True),
            _time_conv(45, 64),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
        )
        widths = (64, *R2PLUS1D_WIDTHS)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                BasicBlock(num_in, num_out, stride=1 if number == 0 else 2),
                BasicBlock(num_out, num_out),
            )
            for number, (num_in, num_out) in enumerate(itertools.pairwise(widths))
        )
        init_convolutions(self)

    def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) normalised -> (B, 512)."""
        x_BCTHW = self.stem(video_BCTHW)
        x_BCTHW = self.layer4(self.layer3(self.layer2(self.layer1(x_BCTHW))))
        features: torch.Tensor = x_BCTHW.mean(dim=(2, 3, 4))
        return features


class SmallVideoNet(nn.Module):
    """Four strided (2+1)D stages for CPUs; time is mixed in the last two, where it is cheap."""

    num_features = SMALL_WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        num_in = 3
        for stage, width in enumerate(SMALL_WIDTHS):
            layers += _norm_relu(_space_conv(num_in, width, 5 if stage == 0 else 3, 2), width)
            if stage >= 2:
                layers += _norm_relu(_time_conv(width, width, stride=stage - 1), width)
            num_in = width
        self.layers = nn.Sequential(*layers)
        # So shallow a net cannot tell left from right after a plain mean: four quarters are kept.
        self.pool = nn.AdaptiveAvgPool3d((1, 2, 2))
        self.project = nn.Linear(4 * num_in, self.num_features)
        init_convolutions(self)

    def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) normalised -> (B, 192)."""
        # Channels last is the fastest layout of these convolutions on CPUs and on GPUs.
        x_BCTHW = video_BCTHW.contiguous(memory_format=torch.channels_last_3d)
        out: torch.Tensor = self.project(self.pool(self.layers(x_BCTHW)).flatten(1))
        return out


def init_convolutions(module: nn.Module) -> None:
    """He initialisation by fan-out for convolutions (arXiv:1502.01852)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _space_conv(num_in: int, num_out: int, size: int, stride: int) -> nn.Conv3d:
    pad = size // 2
    return nn.Conv3d(
        *(num_in, num_out, (1, size, size)), (1, stride, stride), (0, pad, pad), bias=False
    )


def _time_conv(num_in: int, num_out: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(num_in, num_out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False)


def _norm_relu(conv: nn.Conv3d, width: int) -> list[nn.Module]:
    return [conv, nn.BatchNorm3d(width), nn.ReLU(inplace=True)]
