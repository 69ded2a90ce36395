"""Fingerprints of video and audio, and the near-duplicates that they find across movies."""

from __future__ import annotations

from shards_spec.fingerprints.audio import STEP_SECONDS, Track, logmel_track
from shards_spec.fingerprints.command import Duplicates
from shards_spec.fingerprints.store import remove_movies, update_duplicates
from shards_spec.fingerprints.words import WORD_BITS, distances

__all__ = [
    "STEP_SECONDS",
    "WORD_BITS",
    "Duplicates",
    "Track",
    "distances",
    "logmel_track",
    "remove_movies",
    "update_duplicates",
]
