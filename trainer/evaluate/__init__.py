"""What a run has learnt."""

from __future__ import annotations

from trainer.evaluate.evaluate import judge
from trainer.evaluate.export import export
from trainer.evaluate.heldout import EmbeddedClips, HeldoutRetrieval, heldout_retrieval

__all__ = [
    "EmbeddedClips",
    "HeldoutRetrieval",
    "export",
    "heldout_retrieval",
    "judge",
]
