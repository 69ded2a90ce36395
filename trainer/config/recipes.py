"""The named recipes: functions that return a complete `TrainConfig`.

All their values are our own, from our trials and common practice; none comes from a paper.
"""

from __future__ import annotations

import dataclasses

from shards_spec.errors import InputError
from trainer.config.own_recipe import own_recipe
from trainer.config.train_config import OptimizerConfig, TrainConfig
from trainer.data.loader import StreamConfig
from trainer.data.plan import BatchPolicy
from trainer.settings import LossConfig
from trainer.settings.model import InputConfig, ModelConfig


def small() -> TrainConfig:
    """For CPUs: small networks on 8 frames of 64 pixels, batches of 4 movies x 16 clips."""
    return TrainConfig(
        policy=BatchPolicy(
            movies_per_batch=4,
            clips_per_movie=16,
            reads_per_movie=4,
            heldout_fraction=0.2,
            split="train",
        ),
        stream=StreamConfig(frame_size=112),
    )


def study() -> TrainConfig:
    """For many short runs on a CPU: small networks on 4 frames of 48 pixels, in bfloat16.

    The `study` command sets batches, augmentation and loss; see `trainer/study/config.py`.
    """
    return TrainConfig(
        precision="bf16",
        policy=BatchPolicy(heldout_fraction=0.2, split="train"),
        # Each run is one process with one thread, and so is its loader.
        stream=StreamConfig(frame_size=48, num_processes=0, num_threads=1),
        model=ModelConfig(inputs=InputConfig(frame_size=48, num_frames=4)),
        optimizer=OptimizerConfig(warmup_steps=50),
    )


def study_gpu() -> TrainConfig:
    """For a larger study on a GPU: R(2+1)D-18 on 16 frames of 112 pixels."""
    large = r2plus1d18()
    return dataclasses.replace(
        large, policy=dataclasses.replace(large.policy, heldout_fraction=0.2)
    )


def r2plus1d18() -> TrainConfig:
    """For a GPU: R(2+1)D-18 on 16 frames of 112 pixels, batches of 16 movies x 16 clips.

    Their rho is 0.059. The study learned most with 0.24 (benchmarks/results/study), which a weight
    of 5 gives here: 5 * 15 / (5 * 15 + 240) = 0.24. The weight starts there and is then adjusted so
    that within-movie negatives have half of the softmax, as they are the more similar ones.
    """
    return TrainConfig(
        steps=50_000,
        log_every=50,
        checkpoint_every=1000,
        eval_every=2500,
        policy=BatchPolicy(
            movies_per_batch=16,
            clips_per_movie=16,
            reads_per_movie=4,
            heldout_fraction=0.05,
            split="train",
        ),
        stream=StreamConfig(frame_size=112, num_processes=-1, pin_memory=True),
        model=ModelConfig(
            video="r2plus1d18",
            audio="resnet18",
            embedding_size=256,
            head_hidden=512,
            inputs=InputConfig(frame_size=112, num_frames=16),
        ),
        loss=LossConfig(within_mass=0.5, within_weight=5.0),
        optimizer=OptimizerConfig(lr=5e-4),
    )


def r2plus1d18_x16() -> TrainConfig:
    """As `r2plus1d18`, with channels rounded up to multiples of 16, which cost a GPU nothing."""
    narrow = r2plus1d18()
    return dataclasses.replace(
        narrow, model=dataclasses.replace(narrow.model, video="r2plus1d18-x16")
    )


RECIPES = {
    "small": small,
    "study": study,
    "study-gpu": study_gpu,
    "r2plus1d18": r2plus1d18,
    "r2plus1d18-x16": r2plus1d18_x16,
}


def recipe(name: str) -> TrainConfig:
    """A recipe by name; `auto` is `r2plus1d18` with a GPU, else `small`.

    `module:function` or `file.py:function` is a function of your own that returns a `TrainConfig`.

    Raises `InputError` for an unknown name.
    """
    if ":" in name:
        return own_recipe(name)
    if name == "auto":
        import torch

        name = "r2plus1d18" if torch.cuda.is_available() else "small"
    if name not in RECIPES:
        raise InputError(
            f"there is no recipe {name!r}; choose auto, {', '.join(RECIPES)}, or module:function"
        )
    return RECIPES[name]()
