"""Lockfiles: a dataset as a small file, from which others rebuild it with their own copies."""

from __future__ import annotations

from shards_spec.dataset.lockfile.command import LockDataset
from shards_spec.dataset.lockfile.file import read_lock, write_lock
from shards_spec.dataset.lockfile.lock import LOCK_VERSION, Lock, LockedClips, LockedMovie
from shards_spec.dataset.lockfile.make import lock_dataset
from shards_spec.dataset.lockfile.words import (
    NUM_BANDS,
    PART_COLUMNS,
    audio_words,
    bands_of,
    num_parts,
    strip_words,
    window_words,
)

__all__ = [
    "LOCK_VERSION",
    "NUM_BANDS",
    "PART_COLUMNS",
    "Lock",
    "LockDataset",
    "LockedClips",
    "LockedMovie",
    "audio_words",
    "bands_of",
    "lock_dataset",
    "num_parts",
    "read_lock",
    "strip_words",
    "window_words",
    "write_lock",
]
