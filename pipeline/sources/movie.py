"""One movie of a corpus, before it is opened."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from shards_spec.redaction import plain

#: `;jsessionid=1A2B` in the path of a web address.
_PARAMETER = re.compile(r";[^/;=]+=[^/;]*")


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
    modified_ns: int = 0
    """When the source was last written, ns since 1970; 0 if that is not known."""
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
        """The file's name, without escapes and control characters, for messages."""
        return plain(shown_name(self.uri))


def shown_name(uri: str) -> str:
    """The file name in a URI, as people write it."""
    if urlsplit(uri).scheme == "file":
        return PurePosixPath(unquote_to_bytes(uri).decode("utf-8", "replace")).name
    return PurePosixPath(plain_path(uri)).name


def is_web(uri: str) -> bool:
    """Whether a source is on a web server."""
    return uri.startswith(("http://", "https://"))


def plain_path(uri: str) -> str:
    """The path of a remote source without escapes, and without what may change or be secret.

    Web addresses lose their query, fragment and parameters such as `;jsessionid=...`. Keys of
    buckets have no escapes, and may contain `?` and `#`.
    """
    if not is_web(uri):
        return "/".join(uri.split("/")[3:])
    return unquote(_PARAMETER.sub("", urlsplit(uri).path)).lstrip("/")


def prefix_and_key(uri: str) -> tuple[str, str]:
    """The prefix that contains a remote source, and the key below it.

    On a web server, these are the server and all of the address that is sent to it: there, `a//b`
    is not `a/b`.
    """
    if is_web(uri):
        scheme, _, rest = uri.partition("://")
        host, _, key = rest.partition("/")
        return f"{scheme}://{host}", key
    parent, _, name = uri.rpartition("/")
    return parent, name


def folder_of(uri: str) -> str:
    """The prefix that addresses in a remote manifest are relative to."""
    # A signature may contain slashes.
    path = uri.partition("?")[0] if is_web(uri) else uri
    return path.rpartition("/")[0]


def path_of_file_uri(uri: str) -> str:
    """`/a b.mp4` of `file:///a%20b.mp4` or `file://localhost/a%20b.mp4`."""
    path = uri.removeprefix("file://")
    path = path.removeprefix("localhost") if path.startswith("localhost/") else path
    return os.fsdecode(unquote_to_bytes(path))
