"""R3D-18: whole three-dimensional convolutions, with the parameter names of torchvision's `r3d_18`.

Shape suffixes: B clips, C channels, T frames, H x W pixels, F features.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn

from trainer.models.convolutions import init_convolutions

WIDTHS = (64, 128, 256, 512)


class Block3d(nn.Module):
    """Two 3x3x3 convolutions and a shortcut."""

    def __init__(self, num_in: int, num_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv3d(num_in, num_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm3d(num_out),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            nn.Conv3d(num_out, num_out, 3, padding=1, bias=False), nn.BatchNorm3d(num_out)
        )
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or num_in != num_out:
            self.downsample = nn.Sequential(
                nn.Conv3d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm3d(num_out)
            )

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, num_in, T, H, W) -> (B, num_out, T', H', W')."""
        short_BCTHW = x_BCTHW if self.downsample is None else self.downsample(x_BCTHW)
        y_BCTHW: torch.Tensor = self.relu(self.conv2(self.conv1(x_BCTHW)) + short_BCTHW)
        return y_BCTHW


class R3d18(nn.Module):
    """R3D-18 (arXiv:1711.11248) without classifier: 33,166,272 parameters, 512 features."""

    num_features = WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
        )
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                Block3d(num_in, num_out, stride=1 if number == 0 else 2), Block3d(num_out, num_out)
            )
            for number, (num_in, num_out) in enumerate(itertools.pairwise((64, *WIDTHS)))
        )
        init_convolutions(self)

    def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) normalized -> (B, 512)."""
        x_BCTHW = self.stem(video_BCTHW.contiguous(memory_format=torch.channels_last_3d))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x_BCTHW = layer(x_BCTHW)
        features: torch.Tensor = x_BCTHW.mean(dim=(2, 3, 4))
        return features
