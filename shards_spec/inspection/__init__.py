"""Looking into a dataset."""

from __future__ import annotations

from shards_spec.inspection.images import encode_png
from shards_spec.inspection.summary import Summary, find_clip, read_clip, summarise, write_pictures

__all__ = [
    "Summary",
    "encode_png",
    "find_clip",
    "read_clip",
    "summarise",
    "write_pictures",
]
