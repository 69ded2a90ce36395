"""One run on one dataset."""

from __future__ import annotations

from pipeline.run import progress, pruning, summary
from pipeline.run.drain import drain_local_runs
from pipeline.run.preprocess import preprocess, preprocess_views, retry

__all__ = [
    "drain_local_runs",
    "preprocess",
    "preprocess_views",
    "progress",
    "pruning",
    "retry",
    "summary",
]
