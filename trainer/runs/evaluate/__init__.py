"""What a run has learned, measured on movies that it did not train on."""

from __future__ import annotations

from trainer.runs.evaluate import evaluation, online, result
from trainer.runs.evaluate.encoder import ClipEncoder, load_encoder
from trainer.runs.evaluate.export.exported_files import export
from trainer.runs.evaluate.heldout import HeldoutRetrieval, whole_movies

__all__ = [
    "ClipEncoder",
    "HeldoutRetrieval",
    "evaluation",
    "export",
    "load_encoder",
    "online",
    "result",
    "whole_movies",
]
