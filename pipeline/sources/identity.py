"""Identity of a movie's source: its location, its fingerprint, and whether it has changed.

`access` opens it for ffmpeg.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from pipeline.errors import (
    DiskFullError,
    OutsideCorpusError,
    SourceChangedError,
    SourceDeniedError,
    SourceError,
    UnreadableError,
)
from pipeline.sources.movie import Movie
from shards_spec.errors import (
    AccessDeniedError,
    NoCredentialsError,
    NoSpaceError,
    ObjectChangedError,
    StorageError,
)
from shards_spec.storage import Storage

#: Bytes hashed at the start, in the middle and at the end of a local file.
_PROBE_BYTES = 1 << 20


def fingerprint(movie: Movie) -> str:
    """16 hex digits: the requested part and track, and the size and content samples or ETag.

    Raises `SourceError` if the source cannot be read.
    """
    requested = f"{movie.language} {movie.audio_track} {movie.start_seconds} {movie.end_seconds}"
    if movie.program:
        requested += f" program {movie.program}"
    digest = hashlib.sha256(requested.encode())
    if not is_local(movie):
        digest.update(f"{movie.num_bytes} {movie.etag}".encode())
        return digest.hexdigest()[:16]
    path = local_file(movie)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            for offset in sorted({0, max(0, size // 2), max(0, size - _PROBE_BYTES)}):
                file.seek(offset)
                digest.update(file.read(_PROBE_BYTES))
    except OSError as error:
        raise SourceError(f"{movie.name}: cannot read {movie.uri}: {error.strerror}") from error
    return digest.hexdigest()[:16]


def is_local(movie: Movie) -> bool:
    """Whether the source is in a file system."""
    return urlsplit(movie.uri).scheme == "file"


def local_file(movie: Movie) -> Path:
    """Path of a local movie.

    Raises `OutsideCorpusError` for a link that leads out of the corpus, and for pipes and devices,
    which may block forever or never end.
    """
    path = Path(os.fsdecode(unquote_to_bytes(urlsplit(movie.uri).path)))
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UnreadableError(
            f"{movie.name}: the file name is not valid UTF-8; rename the file"
        ) from error
    real = Path(os.path.realpath(path))
    if movie.root and not real.is_relative_to(movie.root):
        raise OutsideCorpusError(
            f"{movie.name}: a link that leads out of the corpus; "
            "use --follow-links if that is intended"
        )
    if real.exists() and not real.is_file():
        raise OutsideCorpusError(f"{movie.name}: not a regular file; remove it from the corpus")
    return path


def looked_up(movie: Movie) -> Movie:
    """The movie with its current size and ETag; a local one is returned unchanged."""
    if is_local(movie):
        return movie
    storage, key = store_and_key(movie)
    info = storage.head(key)
    return replace(movie, num_bytes=info.size, etag=info.etag)


def require_unchanged(movie: Movie) -> None:
    """Raise `SourceChangedError` if a remote source changed since the run began.

    A local one is compared by its fingerprint, see `pipeline.movie.steps`.
    """
    with movie_errors(movie):
        current = looked_up(movie)
    if (current.num_bytes, current.etag) != (movie.num_bytes, movie.etag):
        raise _changed(movie)


def store_and_key(movie: Movie) -> tuple[Storage, str]:
    """The prefix that contains a remote movie, opened, and the movie's key below it."""
    parent, _, key = movie.uri.rpartition("/")
    return Storage(parent), key


@contextlib.contextmanager
def movie_errors(movie: Movie) -> Iterator[None]:
    """Turn errors of a store into errors of the movie that was read.

    Raises `NoCredentialsError` as it is: it is not about one movie.
    """
    try:
        yield
    except NoCredentialsError:
        # No other source can be read either, so this is not about one movie.
        raise
    except AccessDeniedError as error:
        raise SourceDeniedError(f"{movie.name}: {error}") from error
    except ObjectChangedError as error:
        raise _changed(movie) from error
    except NoSpaceError as error:
        raise DiskFullError(f"{movie.name}: {error}") from error
    except StorageError as error:
        raise SourceError(f"{movie.name}: {error}") from error


def _changed(movie: Movie) -> SourceChangedError:
    return SourceChangedError(
        f"{movie.name}: the source changed since the run began; "
        "the next run will process the new version"
    )
