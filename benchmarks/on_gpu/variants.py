"""Which steps are measured: ours, and simpler ways to run the same network."""

from __future__ import annotations

import dataclasses
from functools import partial

from benchmarks.on_gpu.steps import Variant, with_model
from trainer.config import TrainConfig

_wide = partial(with_model, video="r2plus1d18-x16")


def step_variants(*, tiny: bool, first: bool) -> list[Variant]:
    """The rows of the table of steps: the trainer's own, or those to compare with."""
    if first and tiny:
        return [Variant("as it runs, widths x16", _wide)]
    if first:
        return [
            Variant("as it runs, torchvision's widths", seconds=20),
            Variant("as it runs, widths x16", _wide, seconds=15),
        ]
    plain = [
        Variant("2D convolutions, torch's normalization", network="plain", seconds=20),
        Variant("the same, widths x16", _wide, network="plain", seconds=12),
        Variant("3D convolutions, bf16 autocast", network="3d", search=False, seconds=25),
    ]
    if tiny:
        return plain[2:]
    return [
        *plain,
        Variant("the same + cudnn.benchmark", network="3d", seconds=25),
        Variant("3D, channels_last_3d", network="3d-last", seconds=15),
        Variant("3D, fp32, TF32", _full, network="3d", batch=0.5, tf32=True, seconds=20),
        Variant("3D, fp32, no TF32", _full, network="3d", batch=0.5, search=False, seconds=40),
        Variant("2D, widths x16 + compile", _wide_compiled, network="plain", seconds=75),
        Variant("3D + compile", _compiled, network="3d", search=False, seconds=95),
        Variant("2D, torchvision's widths + compile", _compiled, network="plain", seconds=75),
    ]


def memory_variants(*, tiny: bool) -> list[Variant]:
    """The rows of the table of memory; names say what is recomputed and in how many parts."""
    rows = [
        Variant("nothing", _wide, recompute="nothing", seconds=12),
        Variant("norms", _wide, recompute="norms", seconds=12),
        Variant("segments", _wide, recompute="segments", seconds=15),
        Variant("nothing, 2 parts", partial(_parts, 2), recompute="nothing", seconds=15),
        Variant("norms, 2 parts", partial(_parts, 2), recompute="norms", seconds=12),
    ]
    return rows[4:] if tiny else rows


def _full(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(config, precision="fp32")


def _compiled(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(config, compile=True)


def _wide_compiled(config: TrainConfig) -> TrainConfig:
    return _compiled(_wide(config))


def _parts(num_parts: int, config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(_wide(config), accumulate=num_parts)
