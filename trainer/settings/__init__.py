"""Settings of parts of a run, with their checks; `trainer.config` combines them."""

from __future__ import annotations

from trainer.settings.augment import AugmentConfig
from trainer.settings.basis import Basis
from trainer.settings.checks import at_least, flag, positive, require
from trainer.settings.loss import LossConfig
from trainer.settings.model import InputConfig, ModelConfig, Normalization, TransformerConfig
from trainer.settings.supply import SupplyConfig

__all__ = [
    "AugmentConfig",
    "Basis",
    "InputConfig",
    "LossConfig",
    "ModelConfig",
    "Normalization",
    "SupplyConfig",
    "TransformerConfig",
    "at_least",
    "flag",
    "positive",
    "require",
]
