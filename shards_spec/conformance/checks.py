"""What a store supports, determined by tests: the lease of a run and `check-store` need it."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shards_spec.errors import ReelshardsError, StorageError, StoreUnavailableError
from shards_spec.storage import Storage

#: Larger than one part of an upload in parts (5 MiB), and no multiple of one.
_LARGE_BYTES = 11 * (1 << 20) + 12345

#: Last parts of keys with characters that URLs, signatures and shells treat specially.
_ODD_NAMES = ("a b", "50%25", "plus+and&", "ü-日本", "equal=", "it's", "hash#x", "(x)~[y]")


@dataclass(frozen=True)
class StoreTraits:
    """What decides how runs exclude each other."""

    creates_exclusively: bool
    """Whether the store refuses to create an object that exists (`If-None-Match: *`). Some S3
    servers ignore the condition and overwrite it."""
    lists_at_once: bool
    """Whether a listing contains what was written before it."""

    @property
    def lease_protocol(self) -> str:
        """How runs on this store exclude each other; see `pipeline.lease`."""
        if not self.lists_at_once:
            return "none: runs are refused, because two of them could not see each other"
        if self.creates_exclusively:
            return "conditional creation: of two runs, only one can create the next record"
        return "claims: each run writes a record of its own and waits 2 s for others to appear"


@dataclass(frozen=True)
class StoreCheck:
    """One thing that was tested."""

    name: str
    problem: str
    """Empty if it worked."""
    is_required: bool
    """Whether the commands need it."""


def probe_store(storage: Storage, key: str) -> StoreTraits:
    """Create an object twice under a temporary key, list it, and delete it again.

    Raises `StorageError` if the store cannot be written to at all.
    """
    try:
        try:
            storage.create(key, b"first")
            refused = not storage.create(key, b"second")
        except StoreUnavailableError:
            raise
        except StorageError:
            # It does not know the condition. Whether it can be written to is seen now.
            refused = False
            storage.put(key, b"first")
        # A store may refuse the second write and carry it out nevertheless.
        is_exclusive = refused and storage.get(key) == b"first"
        prefix = key.rpartition("/")[0]
        return StoreTraits(is_exclusive, key in {info.key for info in storage.list(prefix)})
    finally:
        with contextlib.suppress(ReelshardsError):
            storage.delete(key)


def check_store(storage: Storage) -> tuple[list[StoreCheck], StoreTraits | None]:
    """Test everything that the commands do with a store, below a temporary prefix.

    Returns what was tested, and the traits unless they could not be determined. What was written is
    deleted again, even after failures.
    """
    prefix = f"reelshards-check-{uuid.uuid4().hex}"
    traits = None
    try:
        checks = [_checked(name, work, storage, prefix) for name, work in _TRIALS]
        with contextlib.suppress(ReelshardsError):
            traits = probe_store(storage, f"{prefix}/probe")
    finally:
        leftover = _clean_up(storage, prefix)
    is_exclusive = traits is not None and traits.creates_exclusively
    checks.append(
        StoreCheck(
            "create only if absent",
            "" if is_exclusive else "an existing object was overwritten or the request failed",
            is_required=False,
        )
    )
    checks.append(StoreCheck("clean-up", leftover, is_required=False))
    return checks, traits


class _WrongError(ReelshardsError):
    """The store did something other than what was requested."""


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise _WrongError(problem)


def _checked(
    name: str, work: Callable[[Storage, str], None], storage: Storage, prefix: str
) -> StoreCheck:
    problem = ""
    try:
        work(storage, f"{prefix}/{name.replace(' ', '-')}")
    except ReelshardsError as error:
        problem = str(error)
    return StoreCheck(name, problem, is_required=name not in _OPTIONAL)


def _write_and_read(storage: Storage, key: str) -> None:
    for data in (b"first", b"second, longer", b""):
        storage.put(key, data)
        received = storage.get(key)
        _require(received == data, f"wrote {len(data)} bytes, then read {len(received)} others")
        size = storage.head(key).size
        _require(size == len(data), f"wrote {len(data)} bytes, then the size was {size}")


def _list_after_write(storage: Storage, key: str) -> None:
    keys = {f"{key}/{number}" for number in range(20)}
    for name in keys:
        storage.put(name, b"x")
    listed = {info.key for info in storage.list(key)}
    _require(listed == keys, f"20 objects were written, then {len(listed & keys)} were listed")


def _list_after_delete(storage: Storage, key: str) -> None:
    for number in range(2):
        storage.put(f"{key}/{number}", b"x")
    storage.delete(f"{key}/0")
    listed = [info.key for info in storage.list(key)]
    _require(listed == [f"{key}/1"], f"1 of 2 objects was left, then {len(listed)} were listed")


def _ranges(storage: Storage, key: str) -> None:
    data = bytes(range(256)) * 8
    storage.put(key, data)
    for start, length in ((0, 1), (100, 900), (2047, 1)):
        received = bytes(storage.get_range(key, start, length))
        _require(received == data[start : start + length], f"bytes from {start} on were others")


def _ranges_past_the_end(storage: Storage, key: str) -> None:
    storage.put(key, b"12345")
    try:
        storage.get_range(key, 3, 10)
    except StoreUnavailableError:
        raise
    except StorageError:
        return
    raise _WrongError("a range that ends after the object was answered as if it were complete")


def _large_objects(storage: Storage, key: str) -> None:
    data = bytes(range(251)) * (_LARGE_BYTES // 251)
    storage.put(key, data)
    _require(storage.head(key).size == len(data), "an upload in parts has another size")
    middle = 5 * (1 << 20) - 10
    received = bytes(storage.get_range(key, middle, 20))
    _require(received == data[middle : middle + 20], "an upload in parts has other bytes")


def _changing_etags(storage: Storage, key: str) -> None:
    storage.put(key, b"one")
    first = storage.head(key).etag
    storage.put(key, b"two")
    second = storage.head(key).etag
    _require(bool(first) and first != second, f"contents changed, ETag {first!r} -> {second!r}")


def _delete_twice(storage: Storage, key: str) -> None:
    storage.put(key, b"x")
    storage.delete(key)
    _require(not storage.exists(key), "an object still existed after it was deleted")
    storage.delete(key)


def _odd_keys(storage: Storage, key: str) -> None:
    failed = []
    for name in _ODD_NAMES:
        try:
            storage.put(f"{key}/{name}", name.encode())
            is_same = storage.get(f"{key}/{name}") == name.encode()
            is_listed = f"{key}/{name}" in {info.key for info in storage.list(key)}
        except ReelshardsError:
            is_same = is_listed = False
        if not (is_same and is_listed):
            failed.append(repr(name))
    _require(not failed, f"names that cannot be used: {', '.join(failed)}")


_TRIALS: tuple[tuple[str, Callable[[Storage, str], None]], ...] = (
    ("write and read", _write_and_read),
    ("list after write", _list_after_write),
    ("list after delete", _list_after_delete),
    ("ranges", _ranges),
    ("ranges past the end", _ranges_past_the_end),
    ("large objects", _large_objects),
    ("delete twice", _delete_twice),
    ("changing ETags", _changing_etags),
    ("odd keys", _odd_keys),
)

#: Without these a store can be used; what follows from each is in `docs/operations.md`.
_OPTIONAL = frozenset({"changing ETags", "odd keys"})


def _clean_up(storage: Storage, prefix: str) -> str:
    """Delete everything below the prefix; returns what went wrong."""
    problems = []
    for key in _all_keys(storage, prefix):
        try:
            storage.delete(key)
        except ReelshardsError as error:
            problems.append(str(error))
    if storage.is_local:
        # Folders of keys that only the store itself can delete.
        shutil.rmtree(storage.local_path(prefix), ignore_errors=True)
    return problems[0] if problems else ""


def _all_keys(storage: Storage, prefix: str) -> Iterator[str]:
    with contextlib.suppress(ReelshardsError):
        yield from [info.key for info in storage.list(prefix)]
