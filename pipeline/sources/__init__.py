"""Which movies there are, and how their bytes are read."""

from __future__ import annotations

from pipeline.sources.corpus import Movie, find_movies
from pipeline.sources.identity import fingerprint

__all__ = [
    "Movie",
    "find_movies",
    "fingerprint",
]
