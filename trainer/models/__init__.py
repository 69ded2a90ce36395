"""The two towers and their inputs."""

from __future__ import annotations

from trainer.models import hashing, inputs, video
from trainer.models.pretrained import load_tower
from trainer.models.two_towers import Embeddings, Features, TwoTowers, build_model

__all__ = [
    "Embeddings",
    "Features",
    "TwoTowers",
    "build_model",
    "hashing",
    "inputs",
    "load_tower",
    "video",
]
