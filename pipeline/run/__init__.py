"""One run on one dataset."""

from __future__ import annotations

from pipeline.run.drain import drain_local_runs
from pipeline.run.preprocess import OnProgress, preprocess, preprocess_views, retry
from pipeline.run.progress import Progress, read_progress
from pipeline.run.pruning import Prunable, find_prunable, prune
from pipeline.run.summary import Summary, movie_hours

__all__ = [
    "OnProgress",
    "Progress",
    "Prunable",
    "Summary",
    "drain_local_runs",
    "find_prunable",
    "movie_hours",
    "preprocess",
    "preprocess_views",
    "prune",
    "read_progress",
    "retry",
]
