"""The steps of one movie: prepare, decode, write."""

from __future__ import annotations

from pipeline.movie import rows, spool, steps
from pipeline.movie.alone import shard_movie
from pipeline.movie.write import write_movie

__all__ = ["rows", "shard_movie", "spool", "steps", "write_movie"]
