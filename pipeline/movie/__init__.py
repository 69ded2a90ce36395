"""The steps of one movie: prepare, decode, write."""

from __future__ import annotations

from pipeline.movie.spool import SOUND, Spool
from pipeline.movie.steps import prepare

__all__ = [
    "SOUND",
    "Spool",
    "prepare",
]
