"""What a run has learned, measured on movies that it did not train on."""

from __future__ import annotations

from trainer.runs.evaluate import embeddings, evaluation, online, probes
from trainer.runs.evaluate.clip_probes import movie_probes
from trainer.runs.evaluate.encoder import ClipEncoder, load_encoder
from trainer.runs.evaluate.export.exported_files import export
from trainer.runs.evaluate.heldout import HeldoutRetrieval, whole_movies
from trainer.runs.evaluate.labels import labeler
from trainer.runs.evaluate.retrieval import clip_recalls
from trainer.runs.evaluate.tags import TagProbe, precisions

__all__ = [
    "ClipEncoder",
    "HeldoutRetrieval",
    "TagProbe",
    "clip_recalls",
    "embeddings",
    "evaluation",
    "export",
    "labeler",
    "load_encoder",
    "movie_probes",
    "online",
    "precisions",
    "probes",
    "whole_movies",
]
