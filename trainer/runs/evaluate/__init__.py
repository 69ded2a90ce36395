"""What a run has learned, measured on movies that it did not train on."""

from __future__ import annotations

from trainer.runs.evaluate.clip_probes import movie_probes
from trainer.runs.evaluate.embeddings import EmbeddedClips, Towers, embed_clips
from trainer.runs.evaluate.encoder import ClipEncoder, load_encoder
from trainer.runs.evaluate.evaluation import Evaluation, Judgement, evaluate, judge, judge_towers
from trainer.runs.evaluate.export.exported_files import export
from trainer.runs.evaluate.heldout import HeldoutRetrieval, whole_movies
from trainer.runs.evaluate.labels import labeler
from trainer.runs.evaluate.online import OnlineEvaluation, online_evaluation
from trainer.runs.evaluate.probes import ProbeResult, fit_logistic, log_loss
from trainer.runs.evaluate.retrieval import clip_recalls
from trainer.runs.evaluate.tags import TagProbe, precisions

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
