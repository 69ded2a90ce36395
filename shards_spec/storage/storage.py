"""Access to stored objects by URI, through obstore: local folders, S3, GCS, Azure and HTTP.

    /data/shards, data/shards, file:///data/shards     local folder
    s3://bucket/prefix  gs://bucket/prefix  az://container/prefix
    http://host/prefix  https://host/prefix            read only

Writes are atomic: an object appears complete under its final key, or not at all. On a local disk it
also survives a power failure once `put` has returned. Credentials and endpoints come from the
environment; see `stores`.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import obstore

from shards_spec.errors import ObjectExistsError, ObjectNotFoundError
from shards_spec.storage.local_file import delete_file, write_file
from shards_spec.storage.reading import Guard, Settings, StorageReader
from shards_spec.storage.stores import MAX_RETRIES

#: Concurrent 5 MiB parts of the upload of a large object. More would need memory (70 MiB for
#: obstore's default of 12), and every core of a node may be writing.
_PARTS_IN_FLIGHT = 2


class Storage(StorageReader):
    """A folder or prefix whose objects are read and written by relative key.

    Instances are cheap to pickle: the URI and settings are sent, and the receiver opens it again.
    """

    def __init__(self, uri: str, *, create: bool = False, max_retries: int = MAX_RETRIES) -> None:
        """Open `uri`; with `create`, create a missing local folder.

        Failed remote requests are retried up to `max_retries` times, which takes about a second;
        see `with_patience` for stores that do not answer for longer.

        Raises:
            InputError: the scheme is unknown, or a local folder does not exist.
        """
        super().__init__(uri, create, Settings(max_retries))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.uri, self._settings))

    def with_retries(self, max_retries: int) -> Storage:
        """The same objects with another number of retries."""
        if self.is_local or max_retries == self._settings.max_retries:
            return self
        return _reopened(self.uri, replace(self._settings, max_retries=max_retries))

    def with_patience(self, seconds: float) -> Storage:
        """The same objects; operations are repeated for `seconds` while the store is unavailable.

        Streams are not: their readers resume them.
        """
        return _reopened(self.uri, replace(self._settings, patience_seconds=seconds))

    def guarded(self, guard: Guard) -> Storage:
        """The same objects; `guard` is called right before each attempt to write or delete one."""
        return _reopened(self.uri, replace(self._settings, guard=guard))

    def put(self, key: str, data: bytes | bytearray | memoryview | Path) -> None:
        """Write an object atomically; an existing one is replaced."""
        self._refuse_web("written to")

        def write() -> None:
            self._check_guard(key)
            with self._errors("write", key):
                if self._is_own_file(key):
                    check = partial(self._check_guard, key)
                    write_file(self.local_path(key), data, check=check)
                else:
                    obstore.put(self._store, key, data, max_concurrency=_PARTS_IN_FLIGHT)

        self._retried(write)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists; returns whether it was written.

        Of several concurrent callers, exactly one succeeds, unless the store ignores the condition;
        see `shards_spec.conformance`. A repeated request may find the object of its first attempt.
        """
        self._refuse_web("written to")

        def write() -> None:
            self._check_guard(key)
            with self._errors("write", key):
                if self._is_own_file(key):
                    check = partial(self._check_guard, key)
                    write_file(self.local_path(key), data, exclusive=True, check=check)
                else:
                    obstore.put(self._store, key, data, mode="create")

        try:
            self._retried(write)
        except ObjectExistsError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Delete an object; it may be missing."""
        self._refuse_web("written to")

        def remove() -> None:
            self._check_guard(key)
            with contextlib.suppress(ObjectNotFoundError), self._errors("delete", key):
                if self._is_own_file(key):
                    delete_file(self.local_path(key), self.local_path())
                else:
                    obstore.delete(self._store, key)

        self._retried(remove)

    def _check_guard(self, key: str) -> None:
        if self._settings.guard is not None:
            self._settings.guard(key)


def _reopened(uri: str, settings: Settings) -> Storage:
    storage = Storage(uri, max_retries=settings.max_retries)
    storage._settings = settings
    return storage
