"""Bounds on datasets from strangers, checked when they are opened."""

from __future__ import annotations

from shards_spec.bounds.index_bounds import (
    check_clip_bounds,
    check_clips_of_movies,
    check_movie_bounds,
    check_recipe_bounds,
)
from shards_spec.bounds.parquet_bounds import check_parquet_bounds, read_bounded_table

__all__ = [
    "check_clip_bounds",
    "check_clips_of_movies",
    "check_movie_bounds",
    "check_parquet_bounds",
    "check_recipe_bounds",
    "read_bounded_table",
]
