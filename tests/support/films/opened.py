"""Local movies, opened for the steps of the pipeline."""

from __future__ import annotations

from pathlib import Path

from pipeline.limits import Limits
from pipeline.plan.movie_plan import MoviePlan
from pipeline.sources import Movie, Readable
from pipeline.sources.access import local_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint


def opened(movie: Movie, limits: Limits | None = None) -> Readable:
    """A local movie as it is now."""
    return local_source(movie, fingerprint(movie), limits)


def opened_file(path: Path | str) -> Readable:
    """The movie in a file."""
    (movie,) = find_movies(str(path))
    return opened(movie)


def source_of(plan: MoviePlan) -> Readable:
    """The local movie that a plan was made from."""
    return local_source(plan.movie, plan.source_fingerprint)
