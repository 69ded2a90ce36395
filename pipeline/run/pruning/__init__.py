"""Removes movies that a corpus no longer contains, and says what was removed."""

from __future__ import annotations

from pipeline.run.pruning.prune import find_prunable, prune
from pipeline.run.pruning.receipt import Prunable

__all__ = ["Prunable", "find_prunable", "prune"]
