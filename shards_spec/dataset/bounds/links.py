"""Links in a local dataset that lead out of its folder.

A dataset is read as the user who opens it. If its links were followed, its author could have any
file of that user read, listed and shown. Links within the folder are harmless, and so is one that
leads to the folder as a whole, which the user has chosen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from shards_spec.errors import FormatError
from shards_spec.storage import Storage


def check_links(storage: Storage, keys: Iterable[str]) -> None:
    """Raise `FormatError` for the first key of a local dataset that leads out of its folder."""
    if not storage.is_local:
        return
    root = os.path.realpath(storage.local_path())
    for key in keys:
        if not _is_inside(f"{root}/{key}", root):
            raise FormatError(
                f"{storage.uri_of(key)} {refusal(f'{root}/{key}')}; copy what it leads to into the "
                "dataset if you trust it"
            )


def outside_links(storage: Storage) -> Iterator[str]:
    """Keys of all links in a local dataset that lead out of its folder; none is followed."""
    root = os.path.realpath(storage.local_path())
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = f"{folder}/{name}"
            if os.path.islink(path) and not _is_inside(path, root):
                yield os.path.relpath(path, root)


def refusal(path: str) -> str:
    """What is wrong with a path that leads out of its dataset."""
    return f"is a link out of the dataset, to {os.path.realpath(path)}, which is not followed"


def _is_inside(path: str, root: str) -> bool:
    try:
        target = os.path.realpath(path)
    except OSError:
        # The target of a link that this user may not read is unknown.
        return False
    return (target + "/").startswith(root.rstrip("/") + "/")
