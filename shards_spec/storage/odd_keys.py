"""Keys that cannot be read: obstore refuses them, and a listing that contains one as a whole.

a//b.mp4  ./b.mp4  a/../b.mp4      empty segments, and those that mean other folders
a\\tb.mp4  a\\x7f.mp4              control characters
a\\xff.mp4                        names that are not valid UTF-8
a/                               folders that a web console created
"""

from __future__ import annotations

from shards_spec.errors import StorageError


class OddKeyError(StorageError):
    """A listing contains a key that cannot be read."""


def is_odd(key: str) -> bool:
    """Whether a key cannot be read."""
    return any(segment in ("", ".", "..") for segment in key.split("/")) or any(
        character < " " or character == "\x7f" or "\ud800" <= character < "\ue000"
        for character in key
    )
