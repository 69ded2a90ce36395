"""Subtitle files next to movies: `heat.srt`, `heat.en.vtt`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from pipeline.errors import SourceError
from pipeline.probe.tracks.languages import language_code
from pipeline.sources import Movie
from pipeline.sources.identity import is_local, local_file, movie_errors, store_and_key
from shards_spec.errors import ObjectNotFoundError
from shards_spec.storage import Storage

SUFFIXES = (".srt", ".vtt")

#: Bytes. Longer files are not read as subtitles.
MAX_BYTES = 64 << 20

#: A file of subtitles: its name, and a function that reads it.
Sidecar = tuple[str, Callable[[], bytes]]


class Sidecars:
    """Finds the subtitle files of movies; lists each folder once. Safe to use from threads."""

    def __init__(self, *, follow_links: bool = False) -> None:
        """With `follow_links`, links may lead out of the corpus."""
        self._follow_links = follow_links
        self._names: dict[tuple[str, str], list[str]] = {}
        self._lock = Lock()

    def find(self, movie: Movie, language: str) -> Sidecar | None:
        """The file that fits a movie and a language, in any language if that is empty.

        Raises `MovieError` if the folder of the movie cannot be read.
        """
        if is_local(movie):
            return self._find_local(movie, local_file(movie), language)
        with movie_errors(movie):
            storage, key = store_and_key(movie)
            folder, _, name = key.rpartition("/")
            names = [name.rpartition(".")[0] + suffix for suffix in SUFFIXES]
            if not storage.is_web:
                names = self._listed(storage, folder)
            else:
                names = [item for item in names if storage.exists(_joined(folder, item))]
            chosen = choose_sidecar(name, names, language)
            if chosen is None:
                return None
            return chosen, lambda: _read_remote(movie, storage, _joined(folder, chosen))

    def _find_local(self, movie: Movie, path: Path, language: str) -> Sidecar | None:
        folder = path.parent
        with self._lock:
            key = ("", str(folder))
            if key not in self._names:
                try:
                    self._names[key] = sorted(entry.name for entry in os.scandir(folder))
                except OSError as error:
                    raise SourceError(f"{movie.name}: cannot list its folder: {error}") from error
            names = self._names[key]
        chosen = choose_sidecar(path.name, names, language)
        if chosen is None:
            return None
        root = "" if self._follow_links else movie.root or os.path.realpath(folder)
        return chosen, lambda: _read_local(folder / chosen, root)

    def _listed(self, storage: Storage, folder: str) -> list[str]:
        with self._lock:
            key = (storage.uri, folder)
            if key not in self._names:
                prefix = f"{folder}/" if folder else ""
                keys = (info.key.removeprefix(prefix) for info in storage.list(folder))
                self._names[key] = [name for name in keys if name.endswith(SUFFIXES)]
            return self._names[key]


def choose_sidecar(movie: str, names: list[str], language: str) -> str | None:
    """The name of the subtitle file of a movie among the names of its folder; None without one.

    `heat.srt` and `heat.en.srt` belong to `heat.mp4`; with a language, one that names it is
    preferred, and one that names another is not taken.
    """
    stem = movie.rpartition(".")[0].casefold() or movie.casefold()
    wanted = language_code(language)
    fitting: list[tuple[tuple[int, bool, str], str]] = []
    for name in names:
        base, dot, suffix = name.casefold().rpartition(".")
        if dot + suffix not in SUFFIXES or not (base == stem or base.startswith(f"{stem}.")):
            continue
        words = base[len(stem) :].split(".")[1:]
        codes = {language_code(word) for word in words} - {""}
        if wanted and words and wanted not in codes:
            continue
        rank = 0 if wanted in codes else 1 if not words else 2
        fitting.append(((rank, "forced" in words, name), name))
    return min(fitting)[1] if fitting else None


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _read_local(path: Path, root: str) -> bytes:
    """The content of a file, which must be in the folder `root` unless that is empty.

    Raises `SourceError`.
    """
    real = Path(os.path.realpath(path))
    try:
        if root and not real.is_relative_to(root):
            raise SourceError(f"{path.name}: a link that leads out of the corpus")
        if not real.is_file() or real.stat().st_size > MAX_BYTES:
            raise SourceError(f"{path.name}: not a file, or larger than {MAX_BYTES >> 20} MiB")
        return real.read_bytes()
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}") from error


def _read_remote(movie: Movie, storage: Storage, key: str) -> bytes:
    with movie_errors(movie):
        try:
            if storage.head(key).size > MAX_BYTES:
                raise SourceError(f"{key}: larger than {MAX_BYTES >> 20} MiB")
            return storage.get(key)
        except ObjectNotFoundError as error:
            raise SourceError(f"{key} has disappeared") from error
