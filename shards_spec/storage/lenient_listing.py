"""Lists folders and buckets that contain keys which cannot be read; see `odd_keys`."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shards_spec.errors import ObjectNotFoundError
from shards_spec.storage.object_info import ObjectInfo
from shards_spec.storage.odd_keys import OddKeyError, is_odd
from shards_spec.storage.s3_listing import raw_listing
from shards_spec.storage.stores import endpoint_of

#: Names of files that are being written; obstore does not list them either.
_TEMPORARY = re.compile(r".*#\d+")


def listed_with_odd_keys(
    uri: str, prefix: str, head: Callable[[str], ObjectInfo]
) -> list[ObjectInfo]:
    """All objects below a prefix, also those whose keys cannot be read.

    Args:
        uri: of the folder or bucket, with scheme.
        prefix: of the keys; whole segments.
        head: looks up an object.

    Raises `OddKeyError` for stores that are only known through obstore.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return list(_local(Path(unquote(parts.path)), prefix, head))
    if parts.scheme in ("s3", "s3a"):
        listing = raw_listing(uri, prefix, endpoint_of(parts.scheme))
        return [ObjectInfo.of(meta) for meta in listing]
    raise OddKeyError(
        f"{uri} contains keys with empty segments, `.`, `..` or control characters, which cannot "
        "be read; rename or delete these objects"
    )


def readable(
    infos: Iterable[ObjectInfo],
    head: Callable[[str], ObjectInfo],
    on_odd: Callable[[str], None],
) -> Iterator[ObjectInfo]:
    """The objects that can be read, sorted by key; `on_odd` gets the keys of all others."""
    ordered = sorted(infos, key=lambda info: info.key)
    for key, twins in itertools.groupby(ordered, key=lambda info: info.key):
        first, *others = twins
        if is_odd(key):
            on_odd(key)
        elif not others:
            yield first
        else:
            # obstore's listing drops slashes at both ends: `a`, `a/` and `/a` all look like `a`.
            for _ in others:
                on_odd(f"{key}/")
            with contextlib.suppress(ObjectNotFoundError):
                yield head(key)


def _local(folder: Path, prefix: str, head: Callable[[str], ObjectInfo]) -> Iterator[ObjectInfo]:
    for current, _, names in os.walk(folder / prefix):
        for name in names:
            key = str(Path(current, name).relative_to(folder))
            if is_odd(key):
                yield ObjectInfo(key, 0, "")
            elif not _TEMPORARY.fullmatch(name):
                # It may have been deleted meanwhile.
                with contextlib.suppress(ObjectNotFoundError):
                    yield head(key)
