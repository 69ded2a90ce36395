"""One run on one dataset."""

from __future__ import annotations

from pipeline.run.drain import main
from pipeline.run.lease import Holder
from pipeline.run.preprocess import OnProgress, Summary, film_hours, preprocess, retry
from pipeline.run.progress import Progress, read_progress
from pipeline.run.prune import find_prunable, prune

__all__ = [
    "Holder",
    "OnProgress",
    "Progress",
    "Summary",
    "film_hours",
    "find_prunable",
    "main",
    "preprocess",
    "prune",
    "read_progress",
    "retry",
]
