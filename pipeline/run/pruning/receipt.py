"""What `prune` removes, and the receipt that says so.

receipt.json                    the movies, every object with its size, fingerprints of the index
dataset.json, index/*.parquet   the index from before, without any clip: `reelshards exposure RUN
                                --data FOLDER` computes from it which checkpoint has seen what
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from shards_spec import layout
from shards_spec.dataset.labels.schema import CLIP_LABELS
from shards_spec.errors import InputError, StorageError
from shards_spec.redaction import redacted
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage
from shards_spec.version import version

RECEIPT_JSON = "receipt.json"

#: What is kept of the index from before.
_INDEX = (layout.CLIPS_PARQUET, layout.MOVIES_PARQUET, layout.DATASET_JSON)


@dataclass(frozen=True)
class Removal:
    """An object that `prune` removes."""

    key: str
    num_bytes: int


@dataclass(frozen=True)
class Prunable:
    """What `prune` would remove, or has removed."""

    movies: tuple[MovieRow, ...]
    """Committed movies whose sources are not in the corpus."""
    stray_shards: tuple[str, ...]
    """Keys of shards that neither a commit record nor the index lists: left by killed runs."""
    objects: tuple[Removal, ...] = ()
    """All objects with these movies' clips, and the stray shards; sorted by key."""

    @property
    def num_clips(self) -> int:
        """Clips of the movies."""
        return sum(row.num_clips for row in self.movies)

    @property
    def num_bytes(self) -> int:
        """Of all objects."""
        return sum(item.num_bytes for item in self.objects)


def keep_index(storage: Storage, folder: Path) -> None:
    """Copy the index into a new folder. Raises `InputError` if it exists, or cannot be written."""
    try:
        folder.mkdir(parents=True)
        labels = [info.key for info in storage.list(CLIP_LABELS)]
        dropped = [layout.DROPPED_PARQUET] if storage.exists(layout.DROPPED_PARQUET) else []
        for key in (*_INDEX, *dropped, *labels):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(storage.get(key))
    except OSError as error:
        raise InputError(
            f"--receipt {folder} cannot be written: {error.strerror}; name a folder that does not "
            "exist yet. Nothing was removed"
        ) from error


def write_receipt(storage: Storage, folder: Path, corpus: str, removed: Prunable) -> None:
    """Write `receipt.json` after looking once more that nothing of what was removed is left.

    Raises `StorageError` if something is, `InputError` if the file cannot be written.
    """
    keys = {item.key for item in removed.objects}
    prefixes = (layout.SHARDS, layout.COMMITS)
    left = [info.key for prefix in prefixes for info in storage.list(prefix) if info.key in keys]
    if left:
        raise StorageError(f"{storage.uri} still has {left[0]} after its deletion; prune again")
    values = {
        "dataset": storage.uri,
        "corpus": redacted(corpus),
        "removed_unix": time.time(),
        "reelshards_version": version(),
        "index_before": _fingerprint((folder / layout.CLIPS_PARQUET).read_bytes()),
        "index_after": _fingerprint(storage.get(layout.CLIPS_PARQUET)),
        "num_clips": removed.num_clips,
        "num_bytes": removed.num_bytes,
        "movies": [
            {
                "movie_id": row.movie_id,
                "group": row.group,
                "source_uri": row.source_uri,
                "source_fingerprint": row.source_fingerprint,
                "status": row.status,
                "num_clips": row.num_clips,
            }
            for row in removed.movies
        ],
        "objects": [asdict(item) for item in removed.objects],
    }
    try:
        (folder / RECEIPT_JSON).write_text(json.dumps(values, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise InputError(
            f"the movies were removed, but --receipt {folder} cannot be written: {error.strerror}"
        ) from error


def _fingerprint(table: bytes) -> str:
    """As runs name the dataset that they were trained on."""
    return hashlib.sha256(table).hexdigest()[:16]
