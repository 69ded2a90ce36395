"""Every setting of a training run, and the recipes that provide them."""

from __future__ import annotations

from trainer.config.recipes import RECIPES, recipe
from trainer.config.train_config import OptimizerConfig, TrainConfig

__all__ = ["RECIPES", "OptimizerConfig", "TrainConfig", "recipe"]
