"""Movie ids: readable names made from paths below the corpus.

    Metropolis (1927).mkv      metropolis-1927
    shows/S01/E02.mp4          shows-s01-e02
    七人の侍.mkv                 qirennoshi-5b1c0a7e

An id depends on its own path only, so adding movies does not change it, with one exception: movies
whose paths give the same id each get a hash of their path. Movies that a dataset already has keep
their ids even then, see `keep_ids`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import unquote

from anyascii import anyascii

from pipeline.sources.movie import Movie, is_web
from shards_spec import layout
from shards_spec.errors import InputError
from shards_spec.redaction import redacted

#: `-` and hex digits of a hash.
_HASH_LENGTH = 9


def movie_id_of(path: str) -> str:
    """A movie id from a path below the corpus, without its ending.

    Lower case, letters in their Latin spelling; any run of other characters becomes one `-`. Where
    that transliterates a script or is too long, 8 hex digits of a hash keep ids apart.
    """
    stem = unicodedata.normalize("NFC", str(PurePosixPath(path).with_suffix("")))
    slug = _slug("".join(_in_ascii(letter) for letter in stem))
    if not slug or len(slug) > layout.MAX_MOVIE_ID or any(map(_is_of_another_script, stem)):
        slug = _with_hash(slug, path)
    return slug


def group_of(path: str, depth: int) -> str:
    """The group that the first `depth` folders of a path name; empty for a path without folders."""
    folders = PurePosixPath(path).parts[:-1][:depth]
    # `movie_id_of` cuts an ending off, and `Season 1.5` has none.
    return movie_id_of("/".join(folders) + ".folder") if folders else ""


def unique_ids(movies: Sequence[Movie]) -> list[Movie]:
    """The movies, each with an id of its own; ids from a manifest stay as they are.

    Raises `InputError` if a manifest gives one id twice, or lists the same movie twice.
    """
    by_path = _disambiguated(movies, lambda movie: movie.path)
    result = _disambiguated(by_path, _everything)
    repeated = [item for item, count in Counter(m.movie_id for m in result).items() if count > 1]
    if repeated:
        names = [movie.path for movie in result if movie.movie_id == repeated[0]]
        raise InputError(
            f"movie id {repeated[0]!r} is used by more than one source ({', '.join(names[:3])}); "
            "give each its own movie_id"
        )
    return result


def keep_ids(movies: Sequence[Movie], known: Mapping[str, str]) -> list[Movie]:
    """The movies, with the ids under which a dataset already has them.

    Args:
        movies: of the corpus, with unique ids.
        known: redacted source URI -> movie id of the dataset.
    """
    # Earlier versions stored the addresses of web servers without escapes. Two addresses may differ
    # only in what the dataset does not store.
    by_address = {_address(uri): movie_id for uri, movie_id in known.items()}
    counts = Counter(_address(redacted(movie.uri)) for movie in movies)
    wanted = {
        movie.movie_id: by_address[address]
        for movie in movies
        if not movie.has_own_id
        and counts[address := _address(redacted(movie.uri))] == 1
        and address in by_address
    }
    fixed = {movie.movie_id for movie in movies if movie.movie_id not in wanted}
    return [
        _renamed(movie, wanted[movie.movie_id])
        if wanted.get(movie.movie_id, movie.movie_id) not in fixed
        else movie
        for movie in movies
    ]


def _address(uri: str) -> str:
    return unquote(uri) if is_web(uri) else uri


def _disambiguated(movies: Sequence[Movie], text_of: Callable[[Movie], str]) -> list[Movie]:
    counts = Counter(movie.movie_id for movie in movies)
    return [
        _renamed(movie, _with_hash(movie_id_of(movie.path), text_of(movie)))
        if counts[movie.movie_id] > 1 and not movie.has_own_id
        else movie
        for movie in movies
    ]


def _everything(movie: Movie) -> str:
    """How two movies with the same path differ: their stores, or the requested parts."""
    parts = (movie.start_seconds, movie.end_seconds, movie.audio_track, movie.language)
    program = f" program {movie.program}" if movie.program else ""
    return f"{redacted(movie.uri)} {parts}{program}"


def _renamed(movie: Movie, movie_id: str) -> Movie:
    group = movie_id if movie.group == movie.movie_id else movie.group
    return replace(movie, movie_id=movie_id, group=group)


def _in_ascii(letter: str) -> str:
    # Transliterations mark soft signs and glottal stops: "fil'm" is `film`.
    return letter if letter.isascii() else anyascii(letter).replace("'", "")


def _is_of_another_script(letter: str) -> bool:
    """Whether a character is a letter whose transliteration other letters may share."""
    return letter.isalpha() and not unicodedata.name(letter, "").startswith("LATIN")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def _with_hash(slug: str, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    kept = slug[: layout.MAX_MOVIE_ID - _HASH_LENGTH].rstrip("-")
    return f"{kept}-{digest[: _HASH_LENGTH - 1]}".lstrip("-")
