"""The objects of several datasets under their full URIs, for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from shards_spec.errors import InputError
from shards_spec.storage import ObjectInfo, Storage


class MixedStorage(Storage):
    """Keys are full URIs; each is read from the storage that it begins with."""

    def __init__(self, storages: Sequence[Storage]) -> None:
        # The base class opens a store, which this one does not have.
        self._storages = tuple(storages)
        self.uri = " + ".join(storage.uri for storage in storages)
        self.is_local = all(storage.is_local for storage in storages)
        self.is_web = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (MixedStorage, (self._storages,))

    @property
    def storages(self) -> tuple[Storage, ...]:
        """The storage of each dataset."""
        return self._storages

    def with_retries(self, max_retries: int) -> Storage:
        """The same objects with another number of retries."""
        return MixedStorage([storage.with_retries(max_retries) for storage in self._storages])

    def uri_of(self, key: str) -> str:
        """The key itself."""
        return key

    def get_range(self, key: str, start: int, length: int) -> memoryview:
        """As `StorageReader.get_range`."""
        storage, own_key = self._resolved(key)
        return storage.get_range(own_key, start, length)

    def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
        """As `StorageReader.read_into`."""
        storage, own_key = self._resolved(key)
        return storage.read_into(own_key, start, target)

    def head(self, key: str) -> ObjectInfo:
        """As `StorageReader.head`."""
        storage, own_key = self._resolved(key)
        return storage.head(own_key)

    def _resolved(self, key: str) -> tuple[Storage, str]:
        """The storage of an object and the object's key there."""
        matching = [one for one in self._storages if key.startswith(f"{one.uri}/")]
        if not matching:
            raise InputError(f"{key} is in none of the datasets {self.uri}")
        # One dataset may be in a folder of another.
        storage = max(matching, key=lambda one: len(one.uri))
        return storage, key[len(storage.uri) + 1 :]
