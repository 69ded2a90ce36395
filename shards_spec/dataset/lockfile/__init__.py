"""Lockfiles: a dataset as a small file, from which others rebuild it with their own copies."""

from __future__ import annotations

from shards_spec.dataset.lockfile import columns, file, lock, words
from shards_spec.dataset.lockfile.command import LockDataset
from shards_spec.dataset.lockfile.make import lock_dataset

__all__ = [
    "LockDataset",
    "columns",
    "file",
    "lock",
    "lock_dataset",
    "words",
]
