"""Fingerprints of video and audio, and the near-duplicates that they find across movies."""

from __future__ import annotations

from shards_spec.dataset.fingerprints import audio, compute, store, video, words
from shards_spec.dataset.fingerprints.command import Duplicates

__all__ = [
    "Duplicates",
    "audio",
    "compute",
    "store",
    "video",
    "words",
]
