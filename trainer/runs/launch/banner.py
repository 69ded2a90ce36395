"""What a launch prints before its first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.version import version
from trainer.config import TrainConfig
from trainer.ranks.world import World
from trainer.runs.journal import Load
from trainer.runs.launch.resume import Start
from trainer.runs.learning.device_inputs import uses_bf16
from trainer.runs.learning.flops import describe_model


def banner(
    *,
    run: str,
    dataset: Dataset,
    config: TrainConfig,
    world: World,
    start: Start,
    num_steps_per_epoch: int,
    shares: Sequence[str] = (),
) -> list[str]:
    """Lines about device, networks, batches and what is resumed; `shares` has one for each of
    several datasets."""
    policy = config.policy.at_step(start.steps_done)
    load = Load.of(config, dataset.recipe, world.device)
    batch = policy.batch_size
    every = f"{num_steps_per_epoch} steps ({num_steps_per_epoch * batch:,} clips) per epoch"
    begins = f"resumes after step {start.steps_done}" if start.steps_done else "starts"
    return [
        f"reelshards {version()}, torch {torch.__version__}: {run} {begins}, of {config.steps} "
        f"steps; data {dataset.storage.uri}",
        f"device: {_device(world)}, {_precision(world.device, config.precision)}",
        describe_model(config.model, load.flops_per_clip),
        f"batches: {policy.movies_per_batch} movies x {policy.clips_per_movie} clips = {batch}, "
        f"rho {policy.rho:.3f} (share of negatives from the same movie); {every}",
        *shares,
    ]


def _device(world: World) -> str:
    device = world.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    threads = "" if device.type == "cuda" else f" with {torch.get_num_threads()} threads"
    return f"{world.world_size} x {name}{threads}"


def _precision(device: torch.device, precision: str) -> str:
    return "bfloat16 towers, float32 loss" if uses_bf16(device, precision) else "float32"
