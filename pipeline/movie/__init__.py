"""The steps of one movie: prepare, decode, write."""

from __future__ import annotations

from pipeline.movie import rows, spool, steps
from pipeline.movie.alone import decode_into, shard_movie
from pipeline.movie.frames import MovieFrames, VideoClip
from pipeline.movie.write import write_movie

__all__ = [
    "MovieFrames",
    "VideoClip",
    "decode_into",
    "rows",
    "shard_movie",
    "spool",
    "steps",
    "write_movie",
]
