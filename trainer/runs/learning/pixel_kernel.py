"""Triton kernel that makes a training batch's stored bytes the video tower's input in one pass."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def pixels(
    frames, flipped, colors, y, W, PER_CLIP, BLOCK: tl.constexpr
):  # fmt: skip
    """uint8 (B, T, H, W, 3) -> (B, T, H, W, 3): mirrored where asked for, a 3x4 map of colors by
    clip, clamped to [0, 1], then normalized.

    `colors` (B, 3, 6) float32 has rows of 4 for the map, which acts on bytes, and scale and shift
    of the normalization; `flipped` (B,) int32 is 0 or 1. PER_CLIP is T * H * W.
    """
    clip = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < PER_CLIP
    column = at % W
    flip = tl.load(flipped + clip)
    source = tl.where(flip != 0, at - column + (W - 1 - column), at)
    first = (clip * PER_CLIP + source) * 3
    red = tl.load(frames + first, mask=mask, other=0).to(tl.float32)
    green = tl.load(frames + first + 1, mask=mask, other=0).to(tl.float32)
    blue = tl.load(frames + first + 2, mask=mask, other=0).to(tl.float32)
    out = y + (clip * PER_CLIP + at) * 3
    row = colors + clip * 18
    for channel in tl.static_range(3):
        value = tl.load(row + channel * 6) * red + tl.load(row + channel * 6 + 1) * green
        value += tl.load(row + channel * 6 + 2) * blue + tl.load(row + channel * 6 + 3)
        value = tl.minimum(tl.maximum(value, 0.0), 1.0)
        value = value * tl.load(row + channel * 6 + 4) + tl.load(row + channel * 6 + 5)
        tl.store(out + channel, value.to(y.dtype.element_ty), mask=mask)
