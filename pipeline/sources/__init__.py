"""Which movies there are, and how their bytes are read."""

from __future__ import annotations

from pipeline.sources.access import is_by_range, open_source
from pipeline.sources.corpus import Corpus, find_corpus, find_movies
from pipeline.sources.identity import (
    fingerprint,
    former_fingerprint,
    is_local,
    is_same_source,
    looked_up,
    require_unchanged,
)
from pipeline.sources.movie import Movie, shown_name
from pipeline.sources.movie_id import keep_ids
from pipeline.sources.readable import Readable
from pipeline.sources.staged import delete_copy

__all__ = [
    "Corpus",
    "Movie",
    "Readable",
    "delete_copy",
    "find_corpus",
    "find_movies",
    "fingerprint",
    "former_fingerprint",
    "is_by_range",
    "is_local",
    "is_same_source",
    "keep_ids",
    "looked_up",
    "open_source",
    "require_unchanged",
    "shown_name",
]
