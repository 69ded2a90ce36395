"""Bounds on datasets from strangers, checked when they are opened."""

from __future__ import annotations

from shards_spec.dataset.bounds import clip_bounds, links, movie_bounds, parquet_bounds
from shards_spec.dataset.bounds.shard_bounds import check_shards

__all__ = [
    "check_shards",
    "clip_bounds",
    "links",
    "movie_bounds",
    "parquet_bounds",
]
