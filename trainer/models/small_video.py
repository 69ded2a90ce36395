"""A small video tower for CPUs.

Shape suffixes: B clips, C channels, T frames, H x W pixels, F features.
"""

from __future__ import annotations

import torch
from torch import nn

from trainer.models.convolutions import init_convolutions, space_conv, time_conv
from trainer.settings.model import Normalization

SMALL_WIDTHS = (24, 48, 96, 192)

#: Groups of a group normalization; divides every width of the small towers.
NUM_GROUPS = 8


class SmallVideoNet(nn.Module):
    """Four strided (2+1)D stages for CPUs; time is mixed in the last two, where it is cheap."""

    num_features = SMALL_WIDTHS[-1]

    def __init__(self, norm: Normalization = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        num_in = 3
        for stage, width in enumerate(SMALL_WIDTHS):
            layers += _norm_relu(space_conv(num_in, width, 5 if stage == 0 else 3, 2), width, norm)
            if stage >= 2:
                layers += _norm_relu(time_conv(width, width, stride=stage - 1), width, norm)
            num_in = width
        self.layers = nn.Sequential(*layers)
        # A plain mean would lose left and right in so shallow a network: four quadrants are kept.
        self.pool = nn.AdaptiveAvgPool3d((1, 2, 2))
        self.project = nn.Linear(4 * num_in, self.num_features)
        init_convolutions(self)

    def forward(self, video_BCTHW: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) normalized -> (B, 192)."""
        # Channels last is the fastest layout of these convolutions on CPUs and on GPUs.
        x_BCTHW = video_BCTHW.contiguous(memory_format=torch.channels_last_3d)
        out: torch.Tensor = self.project(self.pool(self.layers(x_BCTHW)).flatten(1))
        return out


def _norm_relu(conv: nn.Conv3d, width: int, norm: Normalization) -> list[nn.Module]:
    layer = nn.BatchNorm3d(width) if norm == "batch" else nn.GroupNorm(NUM_GROUPS, width)
    return [conv, layer, nn.ReLU(inplace=True)]
