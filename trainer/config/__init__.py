"""Every setting of a training run, and the recipes that provide them."""

from __future__ import annotations

from trainer.config.recipes import RECIPES, recipe
from trainer.config.train_config import OptimizerConfig, TrainConfig
from trainer.settings import (
    AugmentConfig,
    InputConfig,
    LossConfig,
    ModelConfig,
    TransformerConfig,
)

__all__ = [
    "RECIPES",
    "AugmentConfig",
    "InputConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TrainConfig",
    "TransformerConfig",
    "recipe",
]
