"""The shard format: schemas, sample codec, storage, reader, writer, validator.

`SPEC.md` is the normative description. The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shards_spec.dataset.reader import Dataset, open_dataset, read_clips
    from shards_spec.dataset.validation import validate
    from shards_spec.errors import ReelshardsError
    from shards_spec.recipe import Recipe
    from shards_spec.schema import ClipRow, MovieRow
    from shards_spec.storage import Storage

_MODULES = {
    "ClipRow": "schema",
    "Dataset": "reader",
    "MovieRow": "schema",
    "Recipe": "recipe",
    "ReelshardsError": "errors",
    "Storage": "storage",
    "open_dataset": "reader",
    "read_clips": "reader",
    "validate": "validation",
}

__all__ = [
    "ClipRow",
    "Dataset",
    "MovieRow",
    "Recipe",
    "ReelshardsError",
    "Storage",
    "open_dataset",
    "read_clips",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
