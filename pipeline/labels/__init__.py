"""Labels, subtitles and chapters into a dataset."""

from __future__ import annotations

from pipeline.labels import from_movies, importing

__all__ = [
    "from_movies",
    "importing",
]
