"""Fingerprints of video and audio, and the near-duplicates that they find across movies."""

from __future__ import annotations

from shards_spec.dataset.fingerprints.audio import STEP_SECONDS, Track, logmel_track
from shards_spec.dataset.fingerprints.command import Duplicates
from shards_spec.dataset.fingerprints.compute import checked_logmel, clip_members, strip_luma
from shards_spec.dataset.fingerprints.store import remove_movies, update_duplicates
from shards_spec.dataset.fingerprints.video import frame_words
from shards_spec.dataset.fingerprints.words import WORD_BITS, Words, distances, resampled, words_of

__all__ = [
    "STEP_SECONDS",
    "WORD_BITS",
    "Duplicates",
    "Track",
    "Words",
    "checked_logmel",
    "clip_members",
    "distances",
    "frame_words",
    "logmel_track",
    "remove_movies",
    "resampled",
    "strip_luma",
    "update_duplicates",
    "words_of",
]
