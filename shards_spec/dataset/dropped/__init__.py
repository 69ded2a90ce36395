"""Which clips of each movie rules dropped, and why: `index/dropped.parquet`."""

from __future__ import annotations

from shards_spec.dataset.dropped.table import dropped_bytes, read_dropped

__all__ = [
    "dropped_bytes",
    "read_dropped",
]
