"""Several datasets as one: their tables one after the other, their shards under one storage."""

from __future__ import annotations

from trainer.data.mix.labels import with_labels
from trainer.data.mix.mixed_dataset import MixedDataset, Part, mix, part_fingerprints, parts_of
from trainer.data.mix.names import number_of, plain_name, with_plain_names

__all__ = [
    "MixedDataset",
    "Part",
    "mix",
    "number_of",
    "part_fingerprints",
    "parts_of",
    "plain_name",
    "with_labels",
    "with_plain_names",
]
