"""How much GPU memory a step needs, and what to recompute so that it fits.

A step's peak comes when the forward pass ends: every activation that the backward pass will read
is there. So sizes are counted from the network's shapes, not measured; `benchmarks/gpu.py` compares
them with measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch

from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.models import TwoTowers
from trainer.models.video import R2Plus1d, Recompute

GIB = 1024**3

#: Bytes for each parameter: weight, gradient and two moments in float32, and a bfloat16 copy.
BYTES_PER_PARAMETER = 18

#: What libraries allocate themselves: kernels, workspaces, rounding by the allocator.
RESERVE = 1.2 * GIB

#: Share of the free memory that `auto` plans with; the rest is lost to fragments.
AUTO_SHARE = 0.92


@dataclass(frozen=True)
class MemoryPlan:
    """How a run will use a GPU's memory."""

    recompute: Recompute
    expected: dict[Recompute, float]
    """Peak of a step by setting, bytes."""
    target: float
    """Upper limit of the peak, bytes."""
    num_parts: int
    """Parts of the batch that are computed one after the other."""

    def line(self) -> str:
        """For the user."""
        expected = ", ".join(f"{name} {size / GIB:.1f}" for name, size in self.expected.items())
        return (
            f"memory: {self.expected[self.recompute] / GIB:.1f} GiB expected of "
            f"{self.target / GIB:.1f}, recomputing {self.recompute} in the backward pass "
            f"(GiB by setting: {expected})"
        )


def plan_memory(
    model: TwoTowers, config: TrainConfig, device: torch.device, num_clips: int, num_frames: int
) -> MemoryPlan | None:
    """The fastest setting that fits; None where there is nothing to choose.

    Args:
        num_clips: clips of this rank's batch.
        num_frames: stored frames of a clip.

    Raises `InputError` when none fits, with the number of parts that would.
    """
    if not isinstance(model.video, R2Plus1d):
        return None
    if config.memory_gib == "auto":
        if device.type != "cuda":
            return None
        target = torch.cuda.mem_get_info(device)[0] * AUTO_SHARE
    else:
        target = config.memory_gib * GIB
    expected = expected_bytes(model, config, num_clips, num_frames, config.accumulate)
    for recompute, size in expected.items():
        if size <= target:
            return MemoryPlan(recompute, expected, target, config.accumulate)
    least = min(expected.values())
    raise InputError(
        f"a step of {num_clips} clips needs {least / GIB:.1f} GiB, {target / GIB:.1f} may be used; "
        f"{_advice(model, config, num_clips, num_frames, target)}"
    )


def expected_bytes(
    model: TwoTowers, config: TrainConfig, num_clips: int, num_frames: int, num_parts: int
) -> dict[Recompute, float]:
    """Peak bytes of a step by setting."""
    inputs = config.model.inputs
    size = inputs.frame_size or config.stream.frame_size
    used = min(inputs.num_frames, num_frames) or num_frames
    in_part = -(-num_clips // num_parts)
    parameters = sum(weight.numel() for weight in model.parameters()) * BYTES_PER_PARAMETER
    # Bytes of the next batch and of this one, and this one's pixels in bfloat16.
    pixels = num_clips * used * 3 * size**2
    rest = parameters + RESERVE + pixels * (2 + 2)
    video: Any = model.video
    element = 4 if config.precision == "fp32" else 2
    return {
        recompute: rest + in_part * element * video.kept_elements(used, size, recompute)
        for recompute in get_args(Recompute)
    }


def _advice(
    model: TwoTowers, config: TrainConfig, num_clips: int, num_frames: int, target: float
) -> str:
    for num_parts in (2, 4, 8, 16, 32, 64):
        sizes = expected_bytes(model, config, num_clips, num_frames, num_parts)
        if num_parts > config.accumulate and min(sizes.values()) <= target:
            return f"--accumulate {num_parts} computes the batch in parts that fit"
    return "lower policy.movies-per-batch or policy.clips-per-movie"
