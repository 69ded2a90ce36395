"""Bounds on datasets from strangers, checked when they are opened."""

from __future__ import annotations

from shards_spec.dataset.bounds.clip_bounds import check_clip_bounds, check_recipe_bounds
from shards_spec.dataset.bounds.links import check_links, outside_links
from shards_spec.dataset.bounds.movie_bounds import check_clips_of_movies, check_movie_bounds
from shards_spec.dataset.bounds.parquet_bounds import (
    check_parquet_bounds,
    get_bounded,
    read_bounded_table,
)
from shards_spec.dataset.bounds.shard_bounds import check_shards

__all__ = [
    "check_clip_bounds",
    "check_clips_of_movies",
    "check_links",
    "check_movie_bounds",
    "check_parquet_bounds",
    "check_recipe_bounds",
    "check_shards",
    "get_bounded",
    "outside_links",
    "read_bounded_table",
]
