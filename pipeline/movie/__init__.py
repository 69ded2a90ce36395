"""The steps of one movie: prepare, decode, write."""

from __future__ import annotations

from pipeline.movie import alone, frames, rows, spool, steps
from pipeline.movie.write import write_movie

__all__ = [
    "alone",
    "frames",
    "rows",
    "spool",
    "steps",
    "write_movie",
]
