"""What a run has learned, measured on movies that it did not train on."""

from __future__ import annotations

from trainer.evaluate.embeddings import EmbeddedClips, Towers
from trainer.evaluate.encoder import ClipEncoder, load_encoder
from trainer.evaluate.evaluation import Evaluation, Judgement, evaluate, judge, judge_towers
from trainer.evaluate.export.exported_files import export
from trainer.evaluate.heldout import HeldoutRetrieval
from trainer.evaluate.labels import labeler
from trainer.evaluate.online import OnlineEvaluation, online_evaluation
from trainer.evaluate.retrieval import clip_recalls

__all__ = [
    "ClipEncoder",
    "EmbeddedClips",
    "Evaluation",
    "HeldoutRetrieval",
    "Judgement",
    "OnlineEvaluation",
    "Towers",
    "clip_recalls",
    "evaluate",
    "export",
    "judge",
    "judge_towers",
    "labeler",
    "load_encoder",
    "online_evaluation",
]
