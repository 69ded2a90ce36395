"""Audio towers: log-mel spectrograms, read as one-channel images -> one feature vector per clip.

`AudioResNet18` is the usual 18-layer residual network in two dimensions; `SmallAudioNet` is ours,
for CPUs.

Shape suffixes: B clips, C channels, M mel bands, L mel frames (time), F features.
"""

from __future__ import annotations

import itertools
from typing import Any, cast

import torch
from torch import nn

from trainer.models.convolutions import Conv, init_convolutions
from trainer.models.fused_norm import norm_act, norm_act_twice, norm_conv, runs_on_kernels
from trainer.models.layouts import stem_conv, stem_squares
from trainer.models.small_video import NUM_GROUPS, SMALL_WIDTHS
from trainer.models.video import Pair, Recompute
from trainer.settings.model import Normalization

RESNET_WIDTHS = (64, 128, 256, 512)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, num_in: int, num_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_in, num_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_out)
        self.conv2 = nn.Conv2d(num_out, num_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or num_in != num_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(num_in, num_out, 1, stride, bias=False), nn.BatchNorm2d(num_out)
            )

    def forward(self, pair: Pair, recompute: Recompute = "nothing") -> Pair:
        """(B, num_in, M, L) -> (B, num_out, M', L')."""
        x_BCML, short_BCML = pair
        if isinstance(self.downsample, nn.Sequential):
            conv, norm = cast(Any, self.downsample)
            short_BCML = norm_act(conv(short_BCML), norm, relu=False)
        parts = 0 if recompute == "nothing" else 1
        y_BCML = norm_conv(
            self.conv1(x_BCML), self.bn1, Conv((1, 1), (1, 1)), self.conv2.weight, num_parts=parts
        )
        return norm_act_twice(y_BCML, self.bn2, short_BCML)


class AudioResNet18(nn.Module):
    """ResNet-18 (arXiv:1512.03385) with one input channel and no classifier: 512 features."""

    num_features = RESNET_WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = (64, *RESNET_WIDTHS)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                ResidualBlock(num_in, num_out, stride=1 if number == 0 else 2),
                ResidualBlock(num_out, num_out),
            )
            for number, (num_in, num_out) in enumerate(itertools.pairwise(widths))
        )
        self.recompute: Recompute = "nothing"
        init_convolutions(self)

    def forward(self, audio_BCML: torch.Tensor) -> torch.Tensor:
        """(B, 1, M, L) normalized -> (B, 512)."""
        if runs_on_kernels(audio_BCML, self.bn1):
            x_BCML = stem_conv(stem_squares(audio_BCML), self.conv1.weight, lanes=1)
        else:
            x_BCML = self.conv1(audio_BCML.contiguous(memory_format=torch.channels_last))
        x_BCML = self.maxpool(norm_act(x_BCML, self.bn1))
        pair = x_BCML, x_BCML
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:
                pair = block(pair, self.recompute)
        features: torch.Tensor = pair[0].mean(dim=(2, 3))
        return features


class SmallAudioNet(nn.Module):
    """Four strided convolutions for CPUs; twice the stride along time at first, for speed."""

    num_features = SMALL_WIDTHS[-1]

    def __init__(self, norm: Normalization = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        num_in = 1
        for stage, width in enumerate(SMALL_WIDTHS):
            size, stride = (5, (2, 4)) if stage == 0 else (3, (2, 2))
            layers += [
                nn.Conv2d(num_in, width, size, stride, padding=size // 2, bias=False),
                nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(NUM_GROUPS, width),
                nn.ReLU(inplace=True),
            ]
            num_in = width
        self.layers = nn.Sequential(*layers)
        # Pitch carries meaning; a plain mean over mel bands would lose it in a shallow network.
        self.pool = nn.AdaptiveAvgPool2d((4, 1))
        self.project = nn.Linear(4 * num_in, self.num_features)
        init_convolutions(self)

    def forward(self, audio_BCML: torch.Tensor) -> torch.Tensor:
        """(B, 1, M, L) normalized -> (B, 192)."""
        x_BCML = audio_BCML.contiguous(memory_format=torch.channels_last)
        out: torch.Tensor = self.project(self.pool(self.layers(x_BCML)).flatten(1))
        return out
