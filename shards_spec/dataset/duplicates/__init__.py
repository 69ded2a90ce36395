"""Near-duplicates as readers use them; `fingerprints` finds them."""

from __future__ import annotations

from shards_spec.dataset.duplicates.table import (
    KIND_COLUMN,
    SpanClips,
    clip_kinds,
    read_duplicates,
    span_clips,
    with_duplicates,
)

__all__ = [
    "KIND_COLUMN",
    "SpanClips",
    "clip_kinds",
    "read_duplicates",
    "span_clips",
    "with_duplicates",
]
