"""Which movies there are, and how their bytes are read."""

from __future__ import annotations

from pipeline.sources import identity
from pipeline.sources.access import is_by_range, open_source
from pipeline.sources.corpus import find_corpus, find_movies, local_movie, movie_of_row
from pipeline.sources.movie import Movie
from pipeline.sources.movie_id import keep_ids
from pipeline.sources.readable import Readable
from pipeline.sources.staged import delete_copy

__all__ = [
    "Movie",
    "Readable",
    "delete_copy",
    "find_corpus",
    "find_movies",
    "identity",
    "is_by_range",
    "keep_ids",
    "local_movie",
    "movie_of_row",
    "open_source",
]
