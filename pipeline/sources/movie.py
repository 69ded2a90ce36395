"""One movie of a corpus, before it is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit


@dataclass(frozen=True, kw_only=True)
class Movie:
    """One source file, and what the corpus says about it."""

    movie_id: str
    """`[a-z0-9_-]+`, unique in the corpus."""
    uri: str
    """With scheme: `file:///...`, `s3://...`."""
    group: str
    """Show or franchise; the movie id if none is given."""
    num_bytes: int
    """Size of the source; -1 if it could not be looked up."""
    path: str = ""
    """Path below the corpus, without escapes: what the movie id is made from."""
    etag: str = ""
    """From the object store; empty for local files."""
    language: str = ""
    """Preferred audio language; empty for the recipe's."""
    audio_track: int = -1
    """Index of the audio stream to use; -1 to choose one."""
    program: int = 0
    """Number of the program to use, of a file with several; 0 to choose one."""
    start_seconds: float = 0.0
    """Start of the requested part."""
    end_seconds: float = 0.0
    """End of the requested part, exclusive; 0 for the end of the movie."""
    metadata: tuple[tuple[str, Any], ...] = ()
    """Further columns of the manifest: (name, text, number, boolean or list of these)."""
    has_own_id: bool = False
    """Whether a manifest gave the id, so that it must not be changed."""
    root: str = ""
    """Real path of the folder that must contain the source; empty for no restriction."""

    @property
    def name(self) -> str:
        """The file's name, without escapes, for messages."""
        return shown_name(self.uri)


def shown_name(uri: str) -> str:
    """The file name in a URI, as people write it."""
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        return PurePosixPath(unquote_to_bytes(uri).decode("utf-8", "replace")).name
    if scheme in ("http", "https"):
        return PurePosixPath(urlsplit(uri).path).name
    # Keys of buckets may contain `?` and `#`.
    return uri.rpartition("/")[2]


def path_of_file_uri(uri: str) -> str:
    """`/a b.mp4` of `file:///a%20b.mp4` or `file://localhost/a%20b.mp4`."""
    path = uri.removeprefix("file://")
    path = path.removeprefix("localhost") if path.startswith("localhost/") else path
    return os.fsdecode(unquote_to_bytes(path))
