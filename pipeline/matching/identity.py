"""The copy of a movie that is the same file as the original."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline.errors import MovieError
from pipeline.sources import Movie
from pipeline.sources.identity import fingerprint, fingerprint_as_file, is_local, local_file
from shards_spec.dataset.lockfile.lock import LockedMovie

_HASH_BYTES = 1 << 22


def as_requested(movie: LockedMovie, copy: Movie) -> Movie:
    """A copy with the settings that the original had in its corpus."""
    return replace(
        as_movie(movie, copy),
        language=movie.wanted_language,
        audio_track=movie.wanted_audio_track,
        program=movie.wanted_program,
        start_seconds=movie.wanted_start_seconds,
        end_seconds=movie.wanted_end_seconds,
    )


def as_movie(movie: LockedMovie, copy: Movie) -> Movie:
    """A copy under the ids of the lock."""
    return replace(
        copy,
        movie_id=movie.movie_id,
        group=movie.group,
        metadata=tuple(movie.extra.items()),
    )


def identical_copies(
    movies: Mapping[int, LockedMovie], copies: Sequence[Movie]
) -> dict[int, Movie]:
    """The copies that are the same file as an original, judging by their fingerprints.

    Unreadable copies are skipped.
    """
    by_size: dict[int, list[Movie]] = {}
    for copy in copies:
        by_size.setdefault(copy.num_bytes, []).append(copy)
    found = {
        number: _identical_copy(movie, by_size.get(movie.source_bytes, ()))
        for number, movie in movies.items()
    }
    return {number: copy for number, copy in found.items() if copy is not None}


def _identical_copy(movie: LockedMovie, copies: Sequence[Movie]) -> Movie | None:
    for copy in copies:
        requested = as_requested(movie, copy)
        try:
            if movie.source_fingerprint in _fingerprints(requested):
                return requested
        except MovieError:
            continue
    return None


def _fingerprints(movie: Movie) -> Iterator[str]:
    """The fingerprints that a source may have: here, as a local file, and as a bucket's object."""
    yield fingerprint(movie)
    if not is_local(movie):
        yield fingerprint_as_file(movie)
    else:
        digest = hashlib.md5(usedforsecurity=False)
        with open(local_file(movie), "rb") as file:
            while data := file.read(_HASH_BYTES):
                digest.update(data)
        in_bucket = replace(movie, uri="s3://bucket/object")
        for etag in (f'"{digest.hexdigest()}"', digest.hexdigest()):
            yield fingerprint(replace(in_bucket, etag=etag))
