"""The steps of one movie: prepare, decode, write."""

from __future__ import annotations

from pipeline.movie import steps
from pipeline.movie.alone import shard_movie
from pipeline.movie.rows import Cost, bare_row, failed_row
from pipeline.movie.spool import AUDIO_PART, PartKey, Spool
from pipeline.movie.steps import prepare
from pipeline.movie.write import write_movie

__all__ = [
    "AUDIO_PART",
    "Cost",
    "PartKey",
    "Spool",
    "bare_row",
    "failed_row",
    "prepare",
    "shard_movie",
    "steps",
    "write_movie",
]
