"""Which movies there are: a folder, a glob, one file, an object-store prefix, or a manifest.

Movie ids come from paths below the corpus (see `movie_id`): below the folder or prefix, below the
fixed part of a glob, below the manifest's folder. A manifest's movies elsewhere have ids from their
whole path.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pipeline.errors import OutsideCorpusError
from pipeline.sources import listing
from pipeline.sources.identity import looked_up
from pipeline.sources.listing import MOVIE_SUFFIXES, Listing
from pipeline.sources.manifest import ManifestRow, manifest_suffix, read_manifest
from pipeline.sources.movie import (
    Movie,
    folder_of,
    path_of_file_uri,
    plain_path,
    prefix_and_key,
    shown_name,
)
from pipeline.sources.movie_id import group_of, movie_id_of, unique_ids
from shards_spec.errors import InputError, NoCredentialsError, StorageError
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage, normalize_uri

#: Rows of a remote manifest that are looked up at the same time.
_LOOKUPS = 16


@dataclass(frozen=True)
class Corpus:
    """The movies of a run, and what is ignored."""

    movies: tuple[Movie, ...]
    """Sorted by id."""
    passed_over: tuple[tuple[str, int], ...] = ()
    """(ending, number) of files that are not movies, and of folders that were not entered."""


def find_movies(corpus: str, *, follow_links: bool = False) -> list[Movie]:
    """The movies of a corpus, sorted by id; see `find_corpus`."""
    return list(find_corpus(corpus, follow_links=follow_links).movies)


def find_corpus(corpus: str, *, follow_links: bool = False, group_depth: int = 0) -> Corpus:
    """All movies of a corpus.

    A corpus that is itself a link is followed: the user asked for that. Links inside it may come
    from anyone who can write to it; those that lead out of it are entered only with `follow_links`.

    With `group_depth`, movies without a group of their own are grouped by so many folders.

    Raises `InputError` if it does not exist, contains no movie, or its manifest is not valid; and
    `StorageError` if the store cannot be read.
    """
    if not corpus.strip():
        raise InputError("the corpus is empty; give a folder, glob, prefix or manifest")
    if "://" in corpus and urlsplit(corpus).scheme != "file":
        movies, found = _remote_movies(normalize_uri(corpus))
    else:
        local = path_of_file_uri(corpus) if corpus.startswith("file://") else corpus
        movies, found = _local_movies(os.path.expanduser(local), follow_links)
    if not movies:
        listing.require_found(found, corpus)
    grouped = [_grouped(movie, group_depth) for movie in unique_ids(movies)]
    passed_over = sorted((key, count) for key, count in found.passed_over.items() if count)
    return Corpus(tuple(sorted(grouped, key=lambda movie: movie.movie_id)), tuple(passed_over))


def _grouped(movie: Movie, depth: int) -> Movie:
    group = group_of(movie.path, depth) if depth and movie.group == movie.movie_id else ""
    return replace(movie, group=group) if group else movie


def _local_movies(corpus: str, follow_links: bool) -> tuple[list[Movie], Listing]:
    path = Path(corpus)
    if path.is_dir():
        root = "" if follow_links else os.path.realpath(path)
        found = listing.list_folder(path, follow_links)
        return [replace(local_movie(file, name), root=root) for name, file in found.files], found
    if path.is_file():
        if manifest_suffix(path.name):
            rows = read_manifest(path.read_bytes(), path.name)
            return _manifest_movies(rows, str(path.resolve().parent)), Listing()
        return [local_movie(corpus, path.name)], Listing()
    if glob.has_magic(corpus):
        found, _ = listing.list_glob(corpus)
        return [local_movie(file, name) for name, file in found.files], found
    raise InputError(f"corpus {corpus} does not exist")


def local_movie(file: str, path: str) -> Movie:
    """A local movie from its file and its path below the corpus."""
    path = os.fsencode(path).decode("utf-8", "replace")
    try:
        status = os.stat(file)
        num_bytes, modified_ns = status.st_size, status.st_mtime_ns
    except OSError:
        num_bytes, modified_ns = -1, 0
    movie_id = movie_id_of(path)
    return Movie(
        movie_id=movie_id,
        uri=Path(os.path.abspath(file)).as_uri(),
        group=movie_id,
        num_bytes=num_bytes,
        modified_ns=modified_ns,
        path=path,
    )


def _remote_movies(uri: str) -> tuple[list[Movie], Listing]:
    name = shown_name(uri)
    if manifest_suffix(name):
        parent, key = prefix_and_key(uri)
        rows = read_manifest(Storage(parent).get(key), name)
        return _manifest_movies(rows, folder_of(uri)), Listing()
    if PurePosixPath(name).suffix.lower() in MOVIE_SUFFIXES:
        return [looked_up(_remote_movie(uri, name))], Listing()
    storage = Storage(uri)
    found, infos = listing.list_store(storage)
    movies = [
        replace(
            _remote_movie(storage.uri_of(key), path),
            num_bytes=infos[key].size,
            etag=infos[key].etag,
            modified_ns=infos[key].modified * NANOSECONDS,
        )
        for path, key in found.files
    ]
    return movies, found


def _remote_movie(uri: str, path: str) -> Movie:
    movie_id = movie_id_of(path)
    return Movie(movie_id=movie_id, uri=uri, group=movie_id, num_bytes=-1, path=path)


def _looked_up_if_possible(movie: Movie) -> Movie:
    """One of many: if it cannot be looked up, its first task reports why; the others go ahead."""
    try:
        return movie if movie.uri.startswith("file:") else looked_up(movie)
    except NoCredentialsError:
        raise
    except StorageError:
        return movie


def _manifest_movies(rows: Sequence[ManifestRow], folder: str) -> list[Movie]:
    movies = [_manifest_movie(row, folder) for row in rows]
    with ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="look-up") as pool:
        return list(pool.map(_looked_up_if_possible, movies))


def _manifest_movie(row: ManifestRow, folder: str) -> Movie:
    try:
        movie = _located(row.uri, folder)
    except (InputError, ValueError) as error:
        raise InputError(f"{row.where}: {error}") from error
    movie_id = row.movie_id or movie.movie_id
    return replace(
        movie,
        movie_id=movie_id,
        has_own_id=bool(row.movie_id),
        group=row.group or movie_id,
        language=row.language,
        audio_track=row.audio_track,
        program=row.program,
        start_seconds=row.start_seconds,
        end_seconds=row.end_seconds,
        metadata=row.metadata,
    )


def _located(uri: str, folder: str) -> Movie:
    """The movie at a manifest's `uri`; `folder` is a local path or the URI of a prefix."""
    is_uri, is_remote = "://" in uri, "://" in folder
    if is_uri and urlsplit(uri).scheme != "file":
        uri = normalize_uri(uri)
    elif is_uri:
        uri = path_of_file_uri(uri)
    elif is_remote and not uri.startswith("/"):
        uri = normalize_uri(f"{folder}/{uri}")
    if "://" in uri:
        path = plain_path(uri)
        if uri.startswith(f"{folder}/"):
            path = path.removeprefix(plain_path(f"{folder}/"))
        return _remote_movie(uri, path)
    file = os.path.abspath(os.path.join(folder, uri))
    is_below = not is_remote and Path(file).is_relative_to(folder)
    return local_movie(file, os.path.relpath(file, folder if is_below else "/"))


def movie_of_row(row: MovieRow, follow_links: bool) -> Movie:
    """The corpus entry of a committed row, with its source as it is now."""
    if "***" in row.source_uri:
        raise InputError(
            f"{row.movie_id}: its address contained a secret, which the dataset does not store; "
            "run `preprocess` with the corpus instead of `retry`"
        )
    movie = Movie(
        movie_id=row.movie_id,
        uri=row.source_uri,
        group=row.group,
        root="" if follow_links else _root_of(row),
        num_bytes=row.source_bytes,
        language=row.wanted_language,
        audio_track=row.wanted_audio_track,
        program=row.wanted_program,
        start_seconds=row.wanted_start_seconds,
        end_seconds=row.wanted_end_seconds,
        metadata=tuple(row.extra.items()),
    )
    try:
        return looked_up(movie)
    except StorageError:
        # Its first task will report why.
        return movie


def _root_of(row: MovieRow) -> str:
    """The folder that must contain a movie's source; empty for no restriction."""
    if row.source_root or row.error_class != OutsideCorpusError.error_class:
        return row.source_root
    # A record from before the column: the link must not lead out of its own folder.
    return os.path.realpath(os.path.dirname(unquote(urlsplit(row.source_uri).path)))
