"""What a run has learned, measured on movies that it did not train on."""

from __future__ import annotations

from trainer.evaluate.embeddings import EmbeddedClips
from trainer.evaluate.encoder import ClipEncoder, load_encoder
from trainer.evaluate.evaluation import Evaluation, evaluate, judge
from trainer.evaluate.export.exported_files import export
from trainer.evaluate.heldout import HeldoutRetrieval
from trainer.evaluate.online import OnlineEvaluation, online_evaluation

__all__ = [
    "ClipEncoder",
    "EmbeddedClips",
    "Evaluation",
    "HeldoutRetrieval",
    "OnlineEvaluation",
    "evaluate",
    "export",
    "judge",
    "load_encoder",
    "online_evaluation",
]
