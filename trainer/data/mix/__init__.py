"""Several datasets as one: their tables one after the other, their shards under one storage."""

from __future__ import annotations

from trainer.data.mix import mixed_dataset, names
from trainer.data.mix.labels import with_labels

__all__ = [
    "mixed_dataset",
    "names",
    "with_labels",
]
