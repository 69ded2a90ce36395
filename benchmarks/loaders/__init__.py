"""Loaders that are compared."""

from __future__ import annotations

from benchmarks.loaders import clip_sets, contenders, pace, peers
from benchmarks.loaders.report import report

__all__ = [
    "clip_sets",
    "contenders",
    "pace",
    "peers",
    "report",
]
