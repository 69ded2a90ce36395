"""Commit records, and the index gathered from them: incrementally, in parts, in bounded memory.

    commits/<movie_id>.parquet            one per movie; the only source of the index
    index/parts/<digest>.parquet          clips of a range of movies in index order, never changed
    index/parts/movies-<digest>.parquet   movie rows, and the commit record that each came from
    index/parts.json                      names these parts
    index/movies.parquet, clips.parquet, dataset.json
                                          what readers open; each is replaced whole,
                                          `dataset.json` last

An update lists the commit records, reads those that the parts do not have, rewrites the parts that
these belong to, and joins all parts to the tables. Parts are only read by the next update, so its
cost depends on what has changed; without them everything is read.

What concerns the index is imported on first use: workers only write commit records.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shards_spec.dataset.index.commits import read_commit, write_commit

if TYPE_CHECKING:
    from shards_spec.dataset.index.index import (
        INDEX_FOLDERS,
        read_committed_movies,
        read_indexed_movies,
        refresh_card,
        write_index,
    )

__all__ = [
    "INDEX_FOLDERS",
    "read_commit",
    "read_committed_movies",
    "read_indexed_movies",
    "refresh_card",
    "write_commit",
    "write_index",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'shards_spec.dataset.index' has no attribute {name!r}")
    return getattr(import_module("shards_spec.dataset.index.index"), name)
