"""What a run has learned, measured on movies that it did not train on."""

from __future__ import annotations

from trainer.evaluate.clip_probes import movie_probes
from trainer.evaluate.embeddings import EmbeddedClips, Towers, embed_clips
from trainer.evaluate.encoder import ClipEncoder, load_encoder
from trainer.evaluate.evaluation import Evaluation, Judgement, evaluate, judge, judge_towers
from trainer.evaluate.export.exported_files import export
from trainer.evaluate.heldout import HeldoutRetrieval, whole_movies
from trainer.evaluate.labels import labeler
from trainer.evaluate.online import OnlineEvaluation, online_evaluation
from trainer.evaluate.probes import ProbeResult, fit_logistic, log_loss
from trainer.evaluate.retrieval import clip_recalls
from trainer.evaluate.tags import TagProbe, precisions

__all__ = [
    "ClipEncoder",
    "EmbeddedClips",
    "Evaluation",
    "HeldoutRetrieval",
    "Judgement",
    "OnlineEvaluation",
    "ProbeResult",
    "TagProbe",
    "Towers",
    "clip_recalls",
    "embed_clips",
    "evaluate",
    "export",
    "fit_logistic",
    "judge",
    "judge_towers",
    "labeler",
    "load_encoder",
    "log_loss",
    "movie_probes",
    "online_evaluation",
    "precisions",
    "whole_movies",
]
