"""Identity of a movie's source: its location, its fingerprint, and whether it has changed.

Two functions answer two questions:

    fingerprint       is it the same content?     size, and ETag (bucket) or samples (elsewhere)
    is_same_source    was it written since?       size, ETag, time of the last change

Copies of a movie have equal fingerprints, wherever they are. A source that was written since is
processed again even if its fingerprint is the same: samples do not see every change.

`access` opens a source for ffmpeg.
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
    SourceOutageError,
    UnreadableError,
)
from pipeline.sources.movie import Movie, is_web, plain_path, prefix_and_key
from shards_spec.errors import (
    AccessDeniedError,
    NoCredentialsError,
    NoSpaceError,
    ObjectChangedError,
    StorageError,
    StoreUnavailableError,
)
from shards_spec.recipe import NANOSECONDS
from shards_spec.storage import ObjectInfo, RangesNotSupportedError, Storage, is_odd

#: Bytes hashed at the start, in the middle and at the end of a local file.
_PROBE_BYTES = 1 << 20
#: The same of a remote source without an ETag that its content determines.
_REMOTE_PROBE_BYTES = 1 << 16


def fingerprint(movie: Movie) -> str:
    """16 hex digits: the requested part and track, and the size and content samples or ETag.

    ETags of web servers do not count: many are made from size and time, which two movies may share.

    Raises `SourceError` if the source cannot be read.
    """
    digest = _digest_of_request(movie)
    if not is_local(movie):
        if movie.etag and not is_web(movie.uri):
            digest.update(f"{movie.num_bytes} {movie.etag}".encode())
        else:
            digest.update(str(movie.num_bytes).encode())
            for sample in _remote_samples(movie, _REMOTE_PROBE_BYTES):
                digest.update(sample)
        return digest.hexdigest()[:16]
    path = local_file(movie)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            for offset in _sample_offsets(size, _PROBE_BYTES):
                file.seek(offset)
                digest.update(file.read(_PROBE_BYTES))
    except OSError as error:
        raise SourceError(f"{movie.name}: cannot read {movie.uri}: {error.strerror}") from error
    return digest.hexdigest()[:16]


def fingerprint_as_file(movie: Movie) -> str:
    """The fingerprint that a remote movie would have as a local file.

    Raises `SourceError` if the source cannot be read.
    """
    digest = _digest_of_request(movie)
    digest.update(str(movie.num_bytes).encode())
    for sample in _remote_samples(movie, _PROBE_BYTES):
        digest.update(sample)
    return digest.hexdigest()[:16]


def former_fingerprint(movie: Movie) -> str:
    """What earlier versions called a web server's movie with an ETag; empty for others."""
    if not is_web(movie.uri) or not movie.etag:
        return ""
    digest = _digest_of_request(movie)
    digest.update(f"{movie.num_bytes} {movie.etag}".encode())
    return digest.hexdigest()[:16]


def _digest_of_request(movie: Movie) -> hashlib._Hash:
    requested = f"{movie.language} {movie.audio_track} {movie.start_seconds} {movie.end_seconds}"
    if movie.program:
        requested += f" program {movie.program}"
    return hashlib.sha256(requested.encode())


def _sample_offsets(size: int, length: int) -> list[int]:
    return sorted({0, max(0, size // 2), max(0, size - length)})


def _remote_samples(movie: Movie, size: int) -> Iterator[bytes]:
    """Samples of a remote source; from a server without ranges, only the first of them."""
    if movie.num_bytes < 0:
        raise SourceError(f"{movie.name}: its size could not be looked up")
    storage, key = store_and_key(movie)
    for offset in _sample_offsets(movie.num_bytes, size):
        length = min(size, movie.num_bytes - offset)
        try:
            with movie_errors(movie):
                yield b"".join(
                    storage.stream_range(key, offset, length, expected=object_info(movie))
                )
        except SourceError as error:
            if not isinstance(error.__cause__, RangesNotSupportedError):
                raise
            return


def is_local(movie: Movie) -> bool:
    """Whether the source is in a file system."""
    return urlsplit(movie.uri).scheme == "file"


def local_file(movie: Movie) -> Path:
    """Path of a local movie.

    Raises `OutsideCorpusError` for a link that leads out of the corpus, and for pipes and devices,
    which may block forever or never end.
    """
    path = _local_path(movie)
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


def _local_path(movie: Movie) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(movie.uri).path)))


def looked_up(movie: Movie) -> Movie:
    """The movie with the current size, ETag and time of its source.

    Raises `StorageError` for a remote source that cannot be looked up; a local one that does not
    exist is returned unchanged.
    """
    if is_local(movie):
        try:
            status = _local_path(movie).stat()
        except OSError:
            return movie
        return replace(movie, num_bytes=status.st_size, modified_ns=status.st_mtime_ns)
    storage, key = store_and_key(movie)
    info = storage.head(key)
    return replace(
        movie,
        num_bytes=info.size,
        etag=info.etag,
        modified_ns=info.modified * NANOSECONDS,
    )


def require_unchanged(movie: Movie) -> None:
    """Raise `SourceChangedError` if a source changed since the run began.

    That is how a file is noticed that is still being written.
    """
    with movie_errors(movie):
        current = looked_up(movie)
    if not is_same_source(movie, current):
        raise _changed(movie)


def is_same_source(movie: Movie, other: Movie) -> bool:
    """Whether a source was not written between two looks at it, as far as its store says."""
    return object_info(movie).is_same_as(object_info(other), is_web=is_web(movie.uri))


def object_info(movie: Movie) -> ObjectInfo:
    """What the store said about a movie's source."""
    modified = movie.modified_ns if is_local(movie) else movie.modified_ns // NANOSECONDS
    return ObjectInfo(prefix_and_key(movie.uri)[1], movie.num_bytes, movie.etag, modified)


def store_and_key(movie: Movie) -> tuple[Storage, str]:
    """The prefix that contains a remote movie, opened, and the movie's key below it.

    Raises `StorageError` for a key that would be taken for another.
    """
    parent, key = prefix_and_key(movie.uri)
    if not is_web(movie.uri) and is_odd(plain_path(movie.uri)):
        raise StorageError(
            f"{movie.uri!a} cannot be read: its key has empty segments, `.`, `..` or control "
            "characters; rename the object"
        )
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
    except StoreUnavailableError as error:
        raise SourceOutageError(f"{movie.name}: {error}") from error
    except StorageError as error:
        raise SourceError(f"{movie.name}: {error}") from error


def _changed(movie: Movie) -> SourceChangedError:
    return SourceChangedError(
        f"{movie.name}: the source changed since the run began, or is still being written; "
        "the next run will process the new version"
    )
