"""Which movies there are, and how their bytes are read."""

from __future__ import annotations

from pipeline.sources import access, corpus, identity, movie_id, staged
from pipeline.sources.movie import Movie
from pipeline.sources.readable import Readable

__all__ = [
    "Movie",
    "Readable",
    "access",
    "corpus",
    "identity",
    "movie_id",
    "staged",
]
