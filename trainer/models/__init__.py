"""The two towers and their inputs."""

from __future__ import annotations

from trainer.models import hashing, inputs
from trainer.models.pretrained import load_tower
from trainer.models.two_towers import Embeddings, Features, TwoTowers, build_model
from trainer.models.video import R2Plus1d, Recompute

__all__ = [
    "Embeddings",
    "Features",
    "R2Plus1d",
    "Recompute",
    "TwoTowers",
    "build_model",
    "hashing",
    "inputs",
    "load_tower",
]
