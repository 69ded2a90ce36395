"""What a run has learnt."""

from __future__ import annotations

from trainer.evaluate.encoder import ClipEncoder, load_encoder
from trainer.evaluate.evaluate import Evaluation, judge
from trainer.evaluate.export import export
from trainer.evaluate.heldout import EmbeddedClips, HeldoutRetrieval, heldout_retrieval

__all__ = [
    "ClipEncoder",
    "EmbeddedClips",
    "Evaluation",
    "HeldoutRetrieval",
    "export",
    "heldout_retrieval",
    "judge",
    "load_encoder",
]
