"""Which movies there are: a folder, a glob, one file, an object-store prefix, or a manifest.

A manifest is a `.csv`, `.jsonl` or `.parquet` file with a column `uri` and, optional, `movie_id`,
`group`, `language`, `audio_track` (stream index in the file), `start`, `end` (seconds). Relative
uris count from the manifest's folder.
Movie ids come from the path below the corpus, so they do not change when other movies are added,
except that files of one name and different endings (`a.mp4`, `a.mkv`) each get a short hash.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from shards_spec import layout
from shards_spec.errors import FormatError, InputError, NoCredentialsError, StorageError
from shards_spec.schema import parse_table
from shards_spec.storage import Storage, normalise_uri

#: File name endings that count as movies when a folder or prefix is searched.
MOVIE_SUFFIXES = frozenset(
    {
        *(".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gxf", ".ivf", ".m2ts", ".m2v"),
        *(".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogg", ".ogm"),
        *(".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".wtv"),
    }
)
MANIFEST_SUFFIXES = frozenset({".csv", ".jsonl", ".parquet"})
_MANIFEST_COLUMNS = {"uri", "movie_id", "group", "language", "audio_track", "start", "end"}


@dataclass(frozen=True, kw_only=True)
class Movie:
    """One movie of a corpus, before anyone has looked into it."""

    movie_id: str
    """`[a-z0-9_-]+`, unique in the corpus."""
    uri: str
    """With scheme: `file:///...`, `s3://...`."""
    group: str
    """Show or franchise; the movie id where none is given."""
    num_bytes: int
    """Size of the source; -1 when it cannot be looked up."""
    etag: str = ""
    """From the object store; empty for local files."""
    language: str = ""
    """Preferred audio language; empty for the recipe's."""
    audio_track: int = -1
    """Index of the audio stream to use; -1 to choose."""
    start_seconds: float = 0.0
    """Where the wanted part begins."""
    end_seconds: float = 0.0
    """Where the wanted part ends, exclusive; 0 for the movie's end."""
    has_own_id: bool = False
    """Whether a manifest named the id, so that it must stay as it is."""
    root: str = ""
    """Real path of the folder that the source must lie in; empty for anywhere."""

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return PurePosixPath(urlsplit(self.uri).path).name


def find_movies(corpus: str, *, follow_links: bool = False) -> list[Movie]:
    """All movies of a corpus, sorted by id.

    A corpus that is itself a link is followed: that is the user's word. Links inside of it are
    whoever's word filled the folder: those that lead out of it count only with `follow_links`.

    Raises `InputError` when it does not exist, holds no movie, or its manifest is broken; and
    `StorageError` when the store refuses.
    """
    if "://" in corpus and urlsplit(corpus).scheme != "file":
        movies = _remote_movies(normalise_uri(corpus))
    else:
        movies = _local_movies(corpus.removeprefix("file://"), follow_links)
    if not movies:
        raise InputError(
            f"no movies in {corpus}; looked for files ending in {' '.join(sorted(MOVIE_SUFFIXES))}"
        )
    return sorted(_unique(movies), key=lambda movie: movie.movie_id)


def movie_id_of(relative_path: str) -> str:
    """A movie id from a path below the corpus, without its ending.

    Lower case; accents are dropped; any run of other characters becomes one `-`. Where that loses
    letters or is too long, 8 hex digits of the path's hash keep ids apart.
    """
    stem = str(PurePosixPath(relative_path).with_suffix(""))
    plain = unicodedata.normalize("NFKD", stem)
    kept = "".join(c for c in plain if not unicodedata.combining(c)).lower()
    slug = re.sub(r"[^a-z0-9_]+", "-", kept).strip("-")
    lossy = any(c.isalnum() and not c.isascii() for c in kept)
    if lossy or not slug or len(slug) > layout.MAX_MOVIE_ID:
        slug = f"{slug[: layout.MAX_MOVIE_ID - 9]}-{_short_hash(relative_path)}".lstrip("-")
    return slug


def _local_movies(corpus: str, follow_links: bool) -> list[Movie]:
    path = Path(os.path.expanduser(corpus))
    if path.is_dir():
        inside = "" if follow_links else os.path.realpath(path)
        return [
            replace(_local_movie(file, str(file.relative_to(path))), root=inside)
            for file in _walk(path, follow_links)
        ]
    if path.is_file():
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            return _manifest_movies(path.read_bytes(), path.name, path.resolve().parent.as_uri())
        return [_local_movie(path, path.name)]
    if glob.has_magic(corpus):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        files = [file for file in found if file.is_file()]
        root = Path(os.path.commonpath([file.parent for file in files])) if files else path
        return [_local_movie(file, str(file.relative_to(root))) for file in files]
    raise InputError(f"corpus {corpus} does not exist")


def _walk(path: Path, follow_links: bool) -> list[Path]:
    """The movie files below a folder. Linked folders count with `follow_links`, each once."""
    files, seen = [], set()
    for folder, below, names in os.walk(path, followlinks=follow_links):
        below.sort()
        # A link to a folder above would lead round in circles.
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        files += [
            Path(folder, name)
            for name in names
            if Path(name).suffix.lower() in MOVIE_SUFFIXES and not name.startswith(".")
        ]
    return files


def _local_movie(path: Path, relative: str) -> Movie:
    movie_id = movie_id_of(os.fsencode(relative).decode("utf-8", "replace"))
    try:
        num_bytes = path.stat().st_size
    except OSError:
        num_bytes = -1
    uri = Path(os.path.abspath(path)).as_uri()
    return Movie(movie_id=movie_id, uri=uri, group=movie_id, num_bytes=num_bytes)


def _remote_movies(uri: str) -> list[Movie]:
    suffix = PurePosixPath(uri).suffix.lower()
    parent, _, name = uri.rpartition("/")
    if suffix in MANIFEST_SUFFIXES:
        return _manifest_movies(Storage(parent).get(name), name, parent)
    if suffix in MOVIE_SUFFIXES:
        return [_remote_movie(Storage(parent), name)]
    storage = Storage(uri)
    return [
        Movie(
            movie_id=(movie_id := movie_id_of(info.key)),
            uri=storage.uri_of(info.key),
            group=movie_id,
            num_bytes=info.size,
            etag=info.etag,
        )
        for info in storage.list()
        if PurePosixPath(info.key).suffix.lower() in MOVIE_SUFFIXES
    ]


def _remote_movie(storage: Storage, key: str) -> Movie:
    movie = _unseen_movie(storage, key)
    info = storage.head(_stored_key(storage, key))
    return replace(movie, num_bytes=info.size, etag=info.etag)


def _row_of_remote(storage: Storage, key: str) -> Movie:
    """One of many: if it cannot be looked up, its first task will say why, and the others go on."""
    try:
        return _remote_movie(storage, key)
    except StorageError as error:
        if isinstance(error, NoCredentialsError):
            raise
        return _unseen_movie(storage, key)


def _unseen_movie(storage: Storage, key: str) -> Movie:
    stored = _stored_key(storage, key)
    movie_id = movie_id_of(PurePosixPath(stored).name)
    return Movie(movie_id=movie_id, uri=storage.uri_of(stored), group=movie_id, num_bytes=-1)


def _stored_key(storage: Storage, key: str) -> str:
    # Addresses of the web are written with escapes, keys of buckets as they are.
    return unquote(key) if storage.is_web else key


def _manifest_movies(data: bytes, name: str, folder: str) -> list[Movie]:
    movies = []
    for number, row in enumerate(_manifest_rows(data, name), start=1):
        where = f"{name}, row {number}"
        unknown = sorted(set(row) - _MANIFEST_COLUMNS)
        uri = str(row.get("uri") or "")
        if not uri:
            raise InputError(f"{where}: no `uri`; a manifest needs that column in every row")
        if unknown:
            raise InputError(f"{where}: unknown columns {unknown}; {sorted(_MANIFEST_COLUMNS)} are")
        movies.append(_manifest_movie(row, uri, folder, where))
    return movies


def _manifest_movie(row: dict[str, Any], uri: str, folder: str, where: str) -> Movie:
    absolute = "://" in uri or uri.startswith("/")
    full = uri if absolute else f"{folder}/{uri}"
    local = urlsplit(full).scheme in ("", "file") if "://" in full else True
    try:
        if local:
            path = Storage(folder).local_path(uri) if not absolute else _local_path(full)
            movie = _local_movie(path, path.name if absolute else uri)
        else:
            parent, _, key = normalise_uri(full).rpartition("/")
            movie = _row_of_remote(Storage(parent), key)
        movie_id = layout.check_movie_id(str(row.get("movie_id") or movie.movie_id))
        start, end = float(row.get("start") or 0.0), float(row.get("end") or 0.0)
        audio_track = _track_number(row.get("audio_track"))
    except (FormatError, InputError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error
    if start < 0 or (end and end <= start):
        raise InputError(f"{where}: {start = } and {end = } are no stretch of time, in seconds")
    return replace(
        movie,
        movie_id=movie_id,
        has_own_id=bool(row.get("movie_id")),
        group=str(row.get("group") or movie_id),
        language=str(row.get("language") or ""),
        audio_track=audio_track,
        start_seconds=start,
        end_seconds=end,
    )


def _track_number(value: object) -> int:
    """Of a manifest; -1 for an empty cell. Raises `ValueError` for what is no stream index."""
    if value is None or value == "":
        return -1
    number = int(str(value))
    if number < 0:
        raise ValueError(f"audio_track {number} is no stream index; they count from 0")
    return number


def _local_path(uri: str) -> Path:
    return Storage("file:///").local_path(uri.removeprefix("file://"))


def _manifest_rows(data: bytes, name: str) -> Iterable[dict[str, Any]]:
    try:
        if name.lower().endswith(".parquet"):
            rows: list[dict[str, Any]] = parse_table(data, name).to_pylist()
            return rows
        text = data.decode("utf-8-sig")
        if name.lower().endswith(".jsonl"):
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return list(csv.DictReader(text.splitlines()))
    except (ValueError, FormatError) as error:
        raise InputError(f"manifest {name} is unreadable: {error}") from error


def _unique(movies: list[Movie]) -> list[Movie]:
    counts = Counter(movie.movie_id for movie in movies)
    result = []
    for movie in movies:
        if counts[movie.movie_id] > 1 and not movie.has_own_id:
            kept = movie.movie_id[: layout.MAX_MOVIE_ID - 9]
            movie_id = f"{kept}-{_short_hash(movie.name)}"
            group = movie_id if movie.group == movie.movie_id else movie.group
            movie = replace(movie, movie_id=movie_id, group=group)
        result.append(movie)
    twice = [name for name, count in Counter(m.movie_id for m in result).items() if count > 1]
    if twice:
        raise InputError(f"movie ids {twice[:5]} stand for more than one source; name them apart")
    return result


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
