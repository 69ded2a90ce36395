"""Labels as columns of the clips of one dataset or of several."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection

import pyarrow as pa

from shards_spec.dataset.labels.columns import is_label_column, with_label_columns
from shards_spec.dataset.reader import Dataset
from trainer.data.mix.mixed_dataset import MixedDataset, joined_fingerprint
from trainer.data.mix.mixed_storage import MixedStorage
from trainer.data.mix.names import with_plain_names


def with_labels(dataset: Dataset, columns: Collection[str]) -> Dataset:
    """A dataset whose clips have those of the columns that are about labels.

    Its fingerprint then also changes with these labels, so that a run does not resume on others.

    Raises `InputError` if a dataset lacks the labels.
    """
    missing = [
        name for name in columns if is_label_column(name) and name not in dataset.clips.column_names
    ]
    if not missing:
        return dataset
    if not isinstance(dataset, MixedDataset) or not isinstance(dataset.storage, MixedStorage):
        found = with_label_columns(
            dataset.storage, dataset.clips, dataset.clips_fingerprint, missing
        )
        fingerprint = _combined(dataset.fingerprint, found.fingerprint)
        return dataclasses.replace(dataset, clips=found.clips, fingerprint=fingerprint)
    tables, parts = [], []
    for part, storage in zip(dataset.parts, dataset.storage.storages, strict=True):
        clips = dataset.clips.slice(part.first_row, part.num_clips)
        plain = with_plain_names(clips, ("movie_id",))
        found = with_label_columns(storage, plain, part.clips_fingerprint, missing)
        added = found.clips.select(found.clips.column_names[clips.num_columns :])
        for name in added.column_names:
            clips = clips.append_column(name, added[name])
        tables.append(clips)
        fingerprint = _combined(part.fingerprint, found.fingerprint)
        parts.append(dataclasses.replace(part, fingerprint=fingerprint))
    return dataclasses.replace(
        dataset,
        clips=pa.concat_tables(tables),
        parts=tuple(parts),
        fingerprint=joined_fingerprint(parts),
    )


def _combined(fingerprint: str, of_labels: str) -> str:
    return hashlib.sha256(f"{fingerprint} {of_labels}".encode()).hexdigest()[:16]
