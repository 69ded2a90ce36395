"""Summaries of a dataset, and images of its clips."""

from __future__ import annotations

from shards_spec.dataset.inspection.clip import find_clip, write_images
from shards_spec.dataset.inspection.images import draw_logmel, encode_png
from shards_spec.dataset.inspection.summary import Failure, Summary, summarize

__all__ = [
    "Failure",
    "Summary",
    "draw_logmel",
    "encode_png",
    "find_clip",
    "summarize",
    "write_images",
]
