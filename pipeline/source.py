"""From a movie's URI to a local file that ffmpeg can read, and the source's fingerprint.

Local movies are read in place. Remote ones are copied once per machine into a folder named by
their fingerprint; the copy appears whole or not at all, so processes may share it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.corpus import Movie
from pipeline.errors import SourceError
from shards_spec.errors import StorageError
from shards_spec.storage import Storage

#: Bytes hashed at the start, the middle and the end of a local file.
_PROBE_BYTES = 1 << 20


def fingerprint(movie: Movie) -> str:
    """16 hex digits of what is wanted of the source, and of its size and content samples or ETag.

    Raises `SourceError` when the source cannot be looked at.
    """
    wanted = f"{movie.language} {movie.audio_track} {movie.start_seconds} {movie.end_seconds}"
    digest = hashlib.sha256(wanted.encode())
    if not is_local(movie):
        digest.update(f"{movie.num_bytes} {movie.etag}".encode())
        return digest.hexdigest()[:16]
    try:
        with local_file(movie).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(str(size).encode())
            for offset in sorted({0, max(0, size // 2), max(0, size - _PROBE_BYTES)}):
                file.seek(offset)
                digest.update(file.read(_PROBE_BYTES))
    except OSError as error:
        raise SourceError(f"{movie.name}: cannot read {movie.uri}: {error.strerror}") from error
    return digest.hexdigest()[:16]


def is_local(movie: Movie) -> bool:
    """Whether the source lies in a file system."""
    return urlsplit(movie.uri).scheme == "file"


def local_file(movie: Movie) -> Path:
    """Path of a local movie."""
    return Path(unquote(urlsplit(movie.uri).path))


def stage(movie: Movie, source_fingerprint: str) -> Path:
    """A local file with the movie's bytes; remote movies are fetched unless already here."""
    if is_local(movie):
        return local_file(movie)
    folder = stage_folder(source_fingerprint)
    path = folder / "movie"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    parent, _, key = movie.uri.rpartition("/")
    handle, temporary = tempfile.mkstemp(dir=folder)
    os.close(handle)
    try:
        Storage(parent).download(key, Path(temporary))
        Path(temporary).replace(path)
    except StorageError as error:
        raise SourceError(f"{movie.name}: {error}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def unstage(source_fingerprint: str) -> None:
    """Delete this machine's copy of a remote movie, if there is one."""
    shutil.rmtree(stage_folder(source_fingerprint), ignore_errors=True)


def stage_folder(source_fingerprint: str) -> Path:
    """Where this machine keeps its copy of a remote movie."""
    return Path(tempfile.gettempdir()) / "reelshards-stage" / source_fingerprint
