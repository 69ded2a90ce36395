"""Which objects of a dataset are uploaded: what readers need, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from shards_spec import layout
from shards_spec.dataset.bounds.links import check_links
from shards_spec.dataset.card import Subject, TableFile, card_files
from shards_spec.dataset.labels.tables import label_keys
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import FormatError, InputError, ObjectNotFoundError
from shards_spec.schema.tables import movie_rows
from shards_spec.storage import Storage

#: Tables about clips that readers can do without.
_OPTIONAL_TABLES = (
    layout.DROPPED_PARQUET,
    layout.DUPLICATES_PARQUET,
    layout.FINGERPRINTS_PARQUET,
)


@dataclass(frozen=True)
class Inventory:
    """The objects of a dataset, at one moment."""

    dataset: Dataset
    sizes: Mapping[str, int]
    """Bytes of each shard and commit record, by key, in the order in which they are uploaded."""
    last: Mapping[str, bytes]
    """Contents of the objects that make the others visible: index, card, `dataset.json`."""

    @property
    def storage(self) -> Storage:
        """Where the dataset is."""
        return self.dataset.storage

    @property
    def num_bytes(self) -> int:
        """Of all objects."""
        return sum(self.sizes.values()) + sum(map(len, self.last.values()))


def take_inventory(uri: str) -> Inventory:
    """Open a dataset and list what is uploaded.

    Raises `InputError` for a web server, and `FormatError` if an object that the index lists is
    missing, or the index changes meanwhile.
    """
    dataset = open_dataset(uri)
    storage = dataset.storage
    if storage.is_web:
        raise InputError(f"{storage.uri} cannot be listed; push from the folder or bucket itself")
    shards = pc.unique(dataset.clips["shard"]).to_pylist()
    commits = [layout.commit_key(name) for name in dataset.movies["movie_id"].to_pylist()]
    present = {
        info.key: info.size
        for prefix in (layout.SHARDS, layout.COMMITS)
        for info in storage.list(prefix)
    }
    if missing := [key for key in (*shards, *commits) if key not in present]:
        raise FormatError(
            f"{storage.uri} lacks {missing[0]}"
            f"{f' and {len(missing) - 1} more objects' if len(missing) > 1 else ''} that its index "
            "lists; run preprocess again, or wait until the run that writes to it has ended"
        )
    # An author of a dataset must not make others publish their files.
    check_links(storage, (*shards, *commits, layout.README, layout.CROISSANT))
    return Inventory(
        dataset, {key: present[key] for key in (*shards, *commits)}, _last_objects(dataset)
    )


def _last_objects(dataset: Dataset) -> dict[str, bytes]:
    """The tables, the card (made here if the dataset has none) and `dataset.json`."""
    storage = dataset.storage
    tables = {key: storage.get(key) for key in (layout.CLIPS_PARQUET, layout.MOVIES_PARQUET)}
    digests = {key: hashlib.sha256(data).hexdigest() for key, data in tables.items()}
    if not digests[layout.CLIPS_PARQUET].startswith(dataset.clips_fingerprint):
        raise FormatError(f"{storage.uri} changed while it was read; push when its run has ended")
    schemas = {
        layout.CLIPS_PARQUET: dataset.clips.schema,
        layout.MOVIES_PARQUET: dataset.movies.schema,
    }
    files = [TableFile(key, digests[key], len(data), schemas[key]) for key, data in tables.items()]
    cards = card_files(Subject(dataset.info, movie_rows(dataset.movies), files))
    for key in cards:
        try:
            cards[key] = storage.get(key)
        except ObjectNotFoundError:
            # A dataset from before cards.
            continue
    keys = [*label_keys(storage), *_optional(storage)]
    further = {key: storage.get(key) for key in keys}
    return {**tables, **further, **cards, layout.DATASET_JSON: storage.get(layout.DATASET_JSON)}


def _optional(storage: Storage) -> list[str]:
    """Keys of the optional tables that the dataset has; in a local one none is a link out of it."""
    keys = [key for key in _OPTIONAL_TABLES if storage.exists(key)]
    check_links(storage, keys)
    return keys
