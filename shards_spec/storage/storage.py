"""Access to stored objects by URI, through obstore: local folders, S3, GCS, Azure and HTTP.

    /data/shards, data/shards, file:///data/shards     local folder
    s3://bucket/prefix  gs://bucket/prefix  az://container/prefix
    http://host/prefix  https://host/prefix            read only

Writes are atomic: an object appears complete under its final key, or not at all. Credentials and
endpoints come from the environment; see `stores`.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions as obstore_errors

from shards_spec.errors import (
    AccessDeniedError,
    InputError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from shards_spec.storage.connection import RedirectRefusedError
from shards_spec.storage.failures import DENIED, CutShortError, explained
from shards_spec.storage.lenient_listing import listed_with_odd_keys, readable
from shards_spec.storage.local_file import (
    is_plain_key,
    read_into,
    read_range,
    require_regular,
)
from shards_spec.storage.object_info import ObjectInfo
from shards_spec.storage.odd_keys import OddKeyError
from shards_spec.storage.stores import MAX_RETRIES, normalize_uri, open_store

_T = TypeVar("_T")

_STREAM_BYTES = 8 * 1024 * 1024

#: Concurrent 5 MiB parts of the upload of a large object. More would need memory (70 MiB for
#: obstore's default of 12), and every core of a node may be writing.
_PARTS_IN_FLIGHT = 2


class Storage:
    """A folder or prefix whose objects are read and written by relative key.

    Instances are cheap to pickle: only the URI is sent, and the receiver opens it again.
    """

    def __init__(self, uri: str, *, create: bool = False, max_retries: int = MAX_RETRIES) -> None:
        """Open `uri`; with `create`, create a missing local folder.

        Failed remote requests are retried up to `max_retries` times before an error is raised.

        Raises:
            InputError: the scheme is unknown, or a local folder does not exist.
        """
        self.uri = normalize_uri(uri)
        scheme = urlsplit(self.uri).scheme
        self.is_local = scheme == "file"
        #: A web server: read-only and without listings.
        self.is_web = scheme in ("http", "https")
        self.max_retries = max_retries
        self._store = open_store(self.uri, create, max_retries)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.uri, self.max_retries))

    def with_retries(self, max_retries: int) -> Storage:
        """The same objects with another number of retries."""
        if self.is_local or max_retries == self.max_retries:
            return self
        return Storage(self.uri, max_retries=max_retries)

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

        return self._not_cut_short(read)

    def get_range(self, key: str, start: int, length: int) -> memoryview:
        """Bytes [start, start + length) of an object; raises `StorageError` if it is shorter."""
        if length == 0:
            return memoryview(b"")

        def read() -> memoryview:
            with self._errors(f"read {length} bytes at offset {start} of", key):
                if self.is_local and is_plain_key(key):
                    return read_range(self.local_path(key), start, length)
                return memoryview(self._store.get_range(key, start=start, length=length))

        data = self._not_cut_short(read)
        self._require_all(key, start, length, len(data))
        return data

    def read_into(self, key: str, start: int, target: memoryview) -> Iterator[int]:
        """Fill `target` with an object's bytes from `start`, as they arrive.

        Yields the number of bytes so far, repeatedly. Bytes received before an error are valid.
        """
        if len(target) == 0:
            return
        if self.is_local and is_plain_key(key):
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
            found = self._store.get(key, options=options)
            if expected is not None:
                self._require(expected, ObjectInfo.of(found.meta))
            # With larger pieces, more of what has arrived is lost when a connection breaks.
            for piece in found.stream(min_chunk_size=1):
                data = memoryview(piece)
                missing -= len(data)
                yield data
        if missing:
            raise StorageError(
                f"{self.uri_of(key)}: {missing} of {length} bytes at offset {start} did not "
                "arrive; it is truncated, or the index is of another version"
            )

    def put(self, key: str, data: bytes | bytearray | memoryview | Path) -> None:
        """Write an object atomically; an existing one is replaced."""
        self._refuse_web("written to")
        with self._errors("write", key):
            obstore.put(self._store, key, data, max_concurrency=_PARTS_IN_FLIGHT)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists; returns whether it was written.

        Of several concurrent callers, exactly one succeeds.
        """
        self._refuse_web("written to")
        try:
            with self._errors("write", key):
                obstore.put(self._store, key, data, mode="create")
        except ObjectExistsError:
            return False
        return True

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a local file in pieces, with bounded memory."""
        with self._errors("read", key), path.open("wb") as file:
            self._require_regular(key)
            for piece in self._store.get(key).stream(min_chunk_size=_STREAM_BYTES):
                file.write(piece)

    def head(self, key: str) -> ObjectInfo:
        """Size and ETag of an object; raises `ObjectNotFoundError`."""
        with self._errors("look up", key):
            self._require_regular(key)
            return ObjectInfo.of(self._store.head(key))

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
            found = self._listed(prefix)
        except OddKeyError:
            with self._errors("list", prefix):
                found = listed_with_odd_keys(self.uri, prefix, self.head)
        yield from readable(found, self.head, on_odd)

    def _listed(self, prefix: str) -> builtins.list[ObjectInfo]:
        def read() -> builtins.list[ObjectInfo]:
            with self._errors("list", prefix):
                batches = obstore.list(self._store, prefix or None, chunk_size=1000)
                return [ObjectInfo.of(meta) for batch in batches for meta in batch]

        return self._not_cut_short(read)

    def _not_cut_short(self, read: Callable[[], _T]) -> _T:
        """`read()`, repeated: obstore retries failed requests, but not truncated responses."""
        for _ in range(self.max_retries):
            with contextlib.suppress(CutShortError):
                return read()
        return read()

    def delete(self, key: str) -> None:
        """Delete an object; it may be missing."""
        self._refuse_web("written to")
        with contextlib.suppress(ObjectNotFoundError), self._errors("delete", key):
            obstore.delete(self._store, key)

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

    def _require(self, expected: ObjectInfo, found: ObjectInfo) -> None:
        # Not by `If-Match`: web servers ignore it, or never match a weak ETag.
        if not expected.is_same_as(found, is_web=self.is_web):
            raise ObjectChangedError(
                f"{self.uri_of(expected.key)} was replaced: {found.size} bytes with ETag "
                f"{found.etag!r} of {found.modified}, expected {expected.size} with "
                f"{expected.etag!r} of {expected.modified}"
            )

    def _refuse_web(self, what: str) -> None:
        if self.is_web:
            raise InputError(f"{self.uri} is a web server and cannot be {what}; use a bucket")

    @contextlib.contextmanager
    def _errors(self, verb: str, key: str) -> Iterator[None]:
        """Translate obstore's exceptions into ours, without their debug dumps."""
        where = f"could not {verb} {self.uri_of(key).rstrip('/')}"
        try:
            yield
        except FileNotFoundError as error:
            missing = "the bucket" if verb == "write" and not self.is_local else "it"
            raise ObjectNotFoundError(f"{where}: {missing} does not exist") from error
        except obstore_errors.AlreadyExistsError as error:
            raise ObjectExistsError(f"{where}: it already exists") from error
        except (
            obstore_errors.PermissionDeniedError,
            obstore_errors.UnauthenticatedError,
            PermissionError,
        ) as error:
            reason = str(error) if isinstance(error, RedirectRefusedError) else DENIED
            raise AccessDeniedError(f"{where}: {reason}") from error
        except (obstore_errors.BaseError, OSError, ValueError, NotImplementedError) as error:
            raise explained(where, str(error).partition("\n")[0]) from error


def _reopened(uri: str, max_retries: int) -> Storage:
    return Storage(uri, max_retries=max_retries)
