"""Access to local folders, S3, GCS, Azure and web servers through one class."""

from __future__ import annotations

from shards_spec.storage.failures import RangesNotSupportedError
from shards_spec.storage.local_file import temporary_files
from shards_spec.storage.object_info import ObjectInfo
from shards_spec.storage.odd_keys import is_odd
from shards_spec.storage.owned_folder import delete_abandoned_folders, owned_folder
from shards_spec.storage.storage import Storage
from shards_spec.storage.stores import normalize_uri

__all__ = [
    "ObjectInfo",
    "RangesNotSupportedError",
    "Storage",
    "delete_abandoned_folders",
    "is_odd",
    "normalize_uri",
    "owned_folder",
    "temporary_files",
]
