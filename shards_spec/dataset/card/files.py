"""Writes a card, unless somebody else wrote a file of the same name."""

from __future__ import annotations

from shards_spec import layout
from shards_spec.dataset.card import croissant as croissant_file
from shards_spec.dataset.card import readme as readme_file
from shards_spec.dataset.card.subject import Subject
from shards_spec.errors import AccessDeniedError, ObjectNotFoundError
from shards_spec.storage import Storage

#: Longer files are not ours, bytes.
_MAX_BYTES = 4 * 1024 * 1024

#: By key, the text by which we recognize a file of ours.
_MARKERS = {layout.README: readme_file.MARKER, layout.CROISSANT: croissant_file.MARKER}


def card_files(subject: Subject) -> dict[str, bytes]:
    """The files of a card, by key."""
    return {
        layout.README: readme_file.readme(subject).encode(),
        layout.CROISSANT: croissant_file.croissant(subject).encode(),
    }


def write_card(storage: Storage, subject: Subject) -> None:
    """Write the card of a dataset; files that we did not write are kept."""
    for key, data in card_files(subject).items():
        present = _present(storage, key)
        if present is None or (is_ours(key, present) and present != data):
            storage.put(key, data)


def is_ours(key: str, data: bytes) -> bool:
    """Whether a file of a card was written by us, and so may be replaced."""
    return _MARKERS[key].encode() in data


def _present(storage: Storage, key: str) -> bytes | None:
    """The content of a file; None if there is none, empty if it cannot be one of ours."""
    if storage.is_local:
        path = storage.local_path(key)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            return b""
    try:
        return storage.get(key) if storage.head(key).size <= _MAX_BYTES else b""
    except ObjectNotFoundError:
        return None
    except AccessDeniedError:
        return b""
