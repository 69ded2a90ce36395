"""Transformer towers: a video tower with attention over space and time in turn, and one for
spectrograms.

A clip becomes tokens, one per block of pixels and frames or of mel bands and time. In the video
tower each layer first attends over the frames of each position, then over the positions of each
frame (divided attention, arXiv:2102.05095), which costs far less than attention over all pairs.
Positions are coded by fixed sines, so that the weights fit any number of frames and any size.

    x += time(norm(x));  x += space(norm(x));  x += mlp(norm(x))

Shape suffixes: B clips, C channels, T frames, H x W pixels, M mel bands, L mel frames, S time
steps, P positions, D width, N tokens of an attention.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from trainer.models.hashing import signed, splitmix64, splitmix64_int, uniform
from trainer.settings.model import TransformerConfig

#: Mel bands and mel frames of a token of the audio tower.
AUDIO_PATCH = (16, 8)

#: Frames of a token of the video tower.
TUBELET_FRAMES = 2


class Attention(nn.Module):
    """Multi-head attention of N tokens over each other."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        num, num_tokens, width = x_BND.shape
        qkv = self.qkv(x_BND).view(num, num_tokens, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(num, num_tokens, width))
        return out


class Layer(nn.Module):
    """Attention over time (for video), attention over positions, and an MLP, each residual."""

    def __init__(self, config: TransformerConfig, drop_path: float, *, over_time: bool) -> None:
        super().__init__()
        width = config.width
        self.drop_path = drop_path
        self.time_norm = nn.LayerNorm(width) if over_time else None
        self.time = Attention(width, config.heads) if over_time else None
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BSPD: torch.Tensor, keep_B: torch.Tensor | None) -> torch.Tensor:
        """(B, S, P, D) -> (B, S, P, D).

        Args:
            keep_B: (B,) bool, the clips that the layer acts on; None for all.
        """
        before_BSPD = x_BSPD
        num, num_times, num_positions, width = x_BSPD.shape
        if self.time is not None and self.time_norm is not None:
            series = self.time_norm(x_BSPD).transpose(1, 2).reshape(-1, num_times, width)
            mixed = self.time(series).view(num, num_positions, num_times, width)
            x_BSPD = x_BSPD + mixed.transpose(1, 2)
        images = self.norm1(x_BSPD).reshape(-1, num_positions, width)
        x_BSPD = x_BSPD + self.attention(images).view_as(x_BSPD)
        x_BSPD = x_BSPD + self.mlp(self.norm2(x_BSPD))
        if keep_B is None:
            return x_BSPD
        # Scaled, so that the mean over draws is what evaluation computes.
        factor_B = keep_B.to(x_BSPD.dtype) / (1.0 - self.drop_path)
        return before_BSPD + factor_B[:, None, None, None] * (x_BSPD - before_BSPD)


class Transformer(nn.Module):
    """The layers of a tower: tokens in, the mean of their last values out."""

    def __init__(self, config: TransformerConfig, purpose: int, *, over_time: bool) -> None:
        super().__init__()
        self.purpose = purpose
        self.rates = [config.drop_path * n / max(1, config.depth - 1) for n in range(config.depth)]
        self.layers = nn.ModuleList(Layer(config, rate, over_time=over_time) for rate in self.rates)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x_BSPD: torch.Tensor, key_B: torch.Tensor | None) -> torch.Tensor:
        """(B, S, P, D) -> (B, D).

        Args:
            key_B: (B,) int64, a hash per clip that decides which layers leave it out in training.
        """
        for number, (layer, rate) in enumerate(zip(self.layers, self.rates, strict=True)):
            keep_B = None
            if self.training and key_B is not None and rate > 0:
                salt = signed(splitmix64_int(1000 * self.purpose + number))
                keep_B = uniform(splitmix64(key_B + salt)) >= rate
            x_BSPD = layer(x_BSPD, keep_B)
        out: torch.Tensor = self.norm(x_BSPD).mean(dim=(1, 2))
        return out


class VideoTransformer(nn.Module):
    """Frames -> tokens of 2 frames x `patch` x `patch` pixels -> `width` features."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_features = config.width
        self.block = (TUBELET_FRAMES, config.patch, config.patch)
        self.embed = nn.Linear(3 * math.prod(self.block), config.width)
        self.encoder = Transformer(config, purpose=1, over_time=True)
        _init_linear(self)

    def forward(self, video_BCTHW: torch.Tensor, key_B: torch.Tensor | None = None) -> torch.Tensor:
        """(B, 3, T, H, W) normalized -> (B, width). Sizes are filled up to whole tokens with 0."""
        x_BCTHW = _filled_up(video_BCTHW, self.block)
        num, channels, *sizes = x_BCTHW.shape
        counts = [size // part for size, part in zip(sizes, self.block, strict=True)]
        parts = x_BCTHW.reshape(
            *(num, channels),
            *(n for pair in zip(counts, self.block, strict=True) for n in pair),
        )
        tokens_BSPD = parts.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(
            num, counts[0], counts[1] * counts[2], -1
        )
        x_BSPD = self.embed(tokens_BSPD)
        times_S1D = sines(counts[0], x_BSPD)[:, None]
        out: torch.Tensor = self.encoder(
            x_BSPD + times_S1D + grid_sines(counts[1], counts[2], x_BSPD), key_B
        )
        return out


class AudioTransformer(nn.Module):
    """Log-mel -> tokens of 16 bands x 8 mel frames -> `width` features."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_features = config.width
        self.embed = nn.Linear(math.prod(AUDIO_PATCH), config.width)
        self.encoder = Transformer(config, purpose=2, over_time=False)
        _init_linear(self)

    def forward(self, audio_BCML: torch.Tensor, key_B: torch.Tensor | None = None) -> torch.Tensor:
        """(B, 1, M, L) normalized -> (B, width). Sizes are filled up to whole tokens with 0."""
        x_BML = _filled_up(audio_BCML[:, 0], AUDIO_PATCH)
        bands, frames = (
            size // part for size, part in zip(x_BML.shape[1:], AUDIO_PATCH, strict=True)
        )
        parts = x_BML.reshape(len(x_BML), bands, AUDIO_PATCH[0], frames, AUDIO_PATCH[1])
        tokens_BSPD = parts.permute(0, 1, 3, 2, 4).reshape(len(x_BML), 1, bands * frames, -1)
        x_BSPD = self.embed(tokens_BSPD)
        out: torch.Tensor = self.encoder(x_BSPD + grid_sines(bands, frames, x_BSPD), key_B)
        return out


def sines(num: int, like: torch.Tensor, width: int = 0) -> torch.Tensor:
    """(num, width) sines and cosines of positions 0 ... num - 1 (arXiv:1706.03762).

    Device and type are those of `like`, and so is the width if 0.
    """
    width = width or like.shape[-1]
    half = width // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=like.device) / half)
    angles = torch.arange(num, device=like.device)[:, None] * rates
    coded = torch.cat((angles.sin(), angles.cos()), dim=1)
    return functional.pad(coded, (0, width - 2 * half)).to(like.dtype)


def grid_sines(rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
    """(rows * columns, D): one half of the width codes the row, the other the column."""
    half = like.shape[-1] // 2
    by_row = sines(rows, like, half)[:, None].expand(-1, columns, -1)
    by_column = sines(columns, like, like.shape[-1] - half)[None].expand(rows, -1, -1)
    return torch.cat((by_row, by_column), dim=2).flatten(0, 1)


def _filled_up(x: torch.Tensor, block: tuple[int, ...]) -> torch.Tensor:
    """The last axes of `x`, filled up with 0 to multiples of `block`."""
    padding: list[int] = []
    for size, part in zip(reversed(x.shape[-len(block) :]), reversed(block), strict=True):
        padding += [0, -size % part]
    return functional.pad(x, padding) if any(padding) else x


def _init_linear(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
