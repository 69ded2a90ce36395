"""Loaders that are compared."""

from __future__ import annotations

from benchmarks.loaders.clip_sets import Sizes, make
from benchmarks.loaders.contenders import CLIPS, MOVIES, WAYS
from benchmarks.loaders.pace import Result
from benchmarks.loaders.peers import LOADERS, PACKAGES, Source
from benchmarks.loaders.report import report

__all__ = [
    "CLIPS",
    "LOADERS",
    "MOVIES",
    "PACKAGES",
    "WAYS",
    "Result",
    "Sizes",
    "Source",
    "make",
    "report",
]
