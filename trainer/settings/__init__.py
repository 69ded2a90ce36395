"""Settings of parts of a run, with their checks; `trainer.config` combines them."""

from __future__ import annotations

from trainer.settings import checks, model
from trainer.settings.augment import AugmentConfig
from trainer.settings.basis import Basis
from trainer.settings.loss import LossConfig, Positives
from trainer.settings.supply import SupplyConfig

__all__ = [
    "AugmentConfig",
    "Basis",
    "LossConfig",
    "Positives",
    "SupplyConfig",
    "checks",
    "model",
]
