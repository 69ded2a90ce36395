"""Reading and listing stored objects by relative key."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import obstore

from shards_spec.errors import (
    InputError,
    ObjectChangedError,
    ObjectNotFoundError,
    StorageError,
)
from shards_spec.storage.failures import CutShortError, translated
from shards_spec.storage.lenient_listing import listed_with_odd_keys, readable
from shards_spec.storage.local_file import (
    is_plain_key,
    read_into,
    read_range,
    require_regular,
)
from shards_spec.storage.object_info import ObjectInfo
from shards_spec.storage.odd_keys import OddKeyError
from shards_spec.storage.patience import patiently
from shards_spec.storage.stores import normalize_uri, open_store

_T = TypeVar("_T")

Guard = Callable[[str], None]
"""Called with the key right before each attempt to write or delete an object; raises to prevent it.
It is pickled with its storage."""

_STREAM_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """How requests are made."""

    max_retries: int
    patience_seconds: float = 0.0
    guard: Guard | None = None


class StorageReader:
    """What `Storage` can do without changing anything."""

    def __init__(self, uri: str, create: bool, settings: Settings) -> None:
        self.uri = normalize_uri(uri)
        scheme = urlsplit(self.uri).scheme
        self.is_local = scheme == "file"
        #: A web server: read-only and without listings.
        self.is_web = scheme in ("http", "https")
        self._settings = settings
        self._store = open_store(self.uri, create, settings.max_retries)

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    def uri_of(self, key: str) -> str:
        """The full URI of an object."""
        return f"{self.uri}/{key}"

    def local_path(self, key: str = "") -> Path:
        """Path of an object on this machine; for local storage only."""
        assert self.is_local, self.uri
        return Path(unquote(urlsplit(self.uri).path)) / key

    def get(self, key: str) -> bytes:
        """The whole object."""

        def read() -> bytes:
            with self._errors("read", key):
                self._require_regular(key)
                return bytes(self._store.get(key).bytes())

        return self._retried(read)

    def get_range(self, key: str, start: int, length: int) -> memoryview:
        """Bytes [start, start + length) of an object; raises `StorageError` if it is shorter."""
        if length == 0:
            return memoryview(b"")

        def read() -> memoryview:
            with self._errors(f"read {length} bytes at offset {start} of", key):
                if self._is_own_file(key):
                    return read_range(self.local_path(key), start, length)
                return memoryview(self._store.get_range(key, start=start, length=length))

        data = self._retried(read)
        self._require_all(key, start, length, len(data))
        return data

    def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
        """Fill `target` with an object's bytes from `start`, as they arrive.

        Yields the number of bytes so far, repeatedly. Bytes received before an error are valid.
        """
        if len(target) == 0:
            return
        if self._is_own_file(key):
            with self._errors(f"read {len(target)} bytes at offset {start} of", key):
                num_read = read_into(self.local_path(key), start, target)
            self._require_all(key, start, len(target), num_read)
            yield num_read
            return
        num_read = 0
        for piece in self.stream_range(key, start, len(target)):
            target[num_read : num_read + len(piece)] = piece
            num_read += len(piece)
            yield num_read

    def stream_range(
        self, key: str, start: int, length: int, *, expected: ObjectInfo | None = None
    ) -> Iterator[memoryview]:
        """Yield the same bytes in pieces as they arrive. Pieces received before an error are valid.

        Raises `ObjectChangedError` before the first byte if size or ETag differ from `expected`.
        """
        if self.is_local or length == 0:
            yield self.get_range(key, start, length)
            return
        missing = length
        with self._errors(f"read {length} bytes at offset {start} of", key):
            options: Any = {"range": (start, start + length)}
            response = self._store.get(key, options=options)
            if expected is not None:
                self._require(expected, ObjectInfo.of(response.meta))
            # With larger pieces, more of what has arrived is lost when a connection breaks.
            for piece in response.stream(min_chunk_size=1):
                data = memoryview(piece)
                missing -= len(data)
                yield data
        if missing:
            raise StorageError(
                f"{self.uri_of(key)}: {missing} of {length} bytes at offset {start} did not "
                "arrive; it is truncated, or the index is of another version"
            )

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a local file in pieces, with bounded memory."""

        def copy() -> None:
            with self._errors("read", key), path.open("wb") as file:
                self._require_regular(key)
                for piece in self._store.get(key).stream(min_chunk_size=_STREAM_BYTES):
                    file.write(piece)

        patiently(copy, self._settings.patience_seconds)

    def head(self, key: str) -> ObjectInfo:
        """Size and ETag of an object; raises `ObjectNotFoundError`."""

        def look_up() -> ObjectInfo:
            with self._errors("look up", key):
                self._require_regular(key)
                return ObjectInfo.of(self._store.head(key))

        return self._retried(look_up)

    def exists(self, key: str) -> bool:
        """Whether an object exists."""
        try:
            self.head(key)
        except ObjectNotFoundError:
            return False
        return True

    def list(
        self, prefix: str = "", on_odd: Callable[[str], None] = lambda _: None
    ) -> Iterator[ObjectInfo]:
        """All objects under a prefix (whole path segments), sorted by key.

        Keys that cannot be read, see `odd_keys`, are left out, and passed to `on_odd`.
        """
        self._refuse_web("listed")
        try:
            infos = self._listed(prefix)
        except OddKeyError:
            with self._errors("list", prefix):
                infos = listed_with_odd_keys(self.uri, prefix, self.head)
        yield from readable(infos, self.head, on_odd)

    def _listed(self, prefix: str) -> builtins.list[ObjectInfo]:
        def read() -> builtins.list[ObjectInfo]:
            with self._errors("list", prefix):
                batches = obstore.list(self._store, prefix or None, chunk_size=1000)
                return [ObjectInfo.of(meta) for batch in batches for meta in batch]

        return self._retried(read)

    def _retried(self, work: Callable[[], _T]) -> _T:
        """`work()`, repeated as the settings say."""
        return patiently(partial(self._not_cut_short, work), self._settings.patience_seconds)

    def _not_cut_short(self, read: Callable[[], _T]) -> _T:
        """`read()`, repeated: obstore retries failed requests, but not truncated responses."""
        for _ in range(self._settings.max_retries):
            with contextlib.suppress(CutShortError):
                return read()
        return read()

    def _is_own_file(self, key: str) -> bool:
        """Whether an object is written and deleted here, and not by obstore."""
        return self.is_local and is_plain_key(key)

    def _require_regular(self, key: str) -> None:
        """Raise `OSError` for local keys that would block or never end: pipes and devices."""
        if self.is_local:
            require_regular(self.local_path(key))

    def _require_all(self, key: str, start: int, length: int, num_read: int) -> None:
        if num_read != length:
            raise StorageError(
                f"{self.uri_of(key)}: {length} bytes expected at offset {start}, but only "
                f"{num_read} exist; it is truncated, or the index is of another version"
            )

    def _require(self, expected: ObjectInfo, actual: ObjectInfo) -> None:
        # Not by `If-Match`: web servers ignore it, or never match a weak ETag.
        if not expected.is_same_as(actual, is_web=self.is_web):
            raise ObjectChangedError(
                f"{self.uri_of(expected.key)} was replaced: {actual.size} bytes with ETag "
                f"{actual.etag!r} of {actual.modified}, expected {expected.size} with "
                f"{expected.etag!r} of {expected.modified}"
            )

    def _refuse_web(self, what: str) -> None:
        if self.is_web:
            raise InputError(f"{self.uri} is a web server and cannot be {what}; use a bucket")

    def _errors(self, verb: str, key: str) -> contextlib.AbstractContextManager[None]:
        missing = "the bucket" if verb == "write" and not self.is_local else "it"
        return translated(f"could not {verb} {self.uri_of(key).rstrip('/')}", missing)
