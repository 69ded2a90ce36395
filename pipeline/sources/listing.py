"""Finding movie files: in a folder, by a glob, or below a prefix of an object store."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from shards_spec.errors import InputError
from shards_spec.storage import ObjectInfo, Storage

#: File name endings that count as movies when a folder or prefix is searched.
MOVIE_SUFFIXES = frozenset(
    {
        *(".3g2", ".3gp", ".3gp2", ".3gpp", ".asf", ".avi", ".divx", ".dv", ".dvr-ms", ".evo"),
        *(".f4v", ".flv", ".gxf", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2"),
        *(".mjp2", ".mk3d", ".mkv", ".mod", ".mov", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpeg1"),
        *(".mpeg2", ".mpeg4", ".mpg", ".mpg2", ".mpg4", ".mpv", ".mqv", ".mts", ".mxf", ".nut"),
        *(".ogg", ".ogm", ".ogv", ".ogx", ".ps", ".qt", ".rm", ".rmvb", ".roq", ".smk", ".tod"),
        *(".tp", ".trp", ".ts", ".tts", ".vdr", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid"),
    }
)
#: Folders of systems and programs that hold deleted or derived files; those that begin with a dot
#: are skipped too. Lower case.
_TRASH = frozenset(
    {
        *("$recycle.bin", "recycler", "recycled", "system volume information", "lost+found"),
        *("#recycle", "@recycle", "@eadir", "#snapshot", "__macosx", "found.000"),
    }
)
#: Keys that cannot be read and are named in the summary.
_NUM_NAMED = 5
#: A pattern that itself ends in a literal ending, such as `*.dat`.
_LITERAL_ENDING = re.compile(r"\.[^.*?\[\]/]+$")


@dataclass
class Listing:
    """What a search found."""

    files: list[tuple[str, str]] = field(default_factory=list)
    """(path below the corpus, location): a path or, in a store, a key."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """How many files are not movies, by their ending, and how many folders were not entered."""

    def add(self, path: str, location: str) -> None:
        """Add a file, if it is a movie by its ending."""
        name = PurePosixPath(path).name
        suffix = PurePosixPath(path).suffix.lower()
        if name.startswith("."):
            self.passed_over["hidden files"] += 1
        elif suffix in MOVIE_SUFFIXES:
            self.files.append((path, location))
        else:
            self.passed_over[suffix or "no ending"] += 1


HIDDEN_FOLDERS = "hidden or trash folders"


def list_folder(folder: Path, follow_links: bool) -> Listing:
    """The movies below a folder. Linked folders are entered with `follow_links`, each once."""
    listing, entered = Listing(), set()
    for current, below, names in os.walk(folder, followlinks=follow_links):
        # A link to a folder above would lead around in circles.
        real = os.path.realpath(current)
        if real in entered:
            below.clear()
            continue
        entered.add(real)
        hidden = [name for name in below if _is_hidden(name)]
        listing.passed_over[HIDDEN_FOLDERS] += len(hidden)
        below[:] = sorted(set(below) - set(hidden))
        for name in sorted(names):
            path = Path(current, name)
            listing.add(str(path.relative_to(folder)), str(path))
    return listing


def list_glob(pattern: str) -> tuple[Listing, Path]:
    """The movies that match a glob, and its root: the folders before the first wildcard.

    A pattern that names an ending takes every file with that ending.
    """
    root = glob_root(pattern)
    listing = Listing()
    for name in sorted(glob.glob(pattern, recursive=True)):
        if not os.path.isfile(name):
            continue
        path = str(Path(name).relative_to(root))
        if any(map(_is_hidden, PurePosixPath(path).parts[:-1])):
            listing.passed_over["files in hidden or trash folders"] += 1
        elif _LITERAL_ENDING.search(pattern):
            listing.files.append((path, name))
        else:
            listing.add(path, name)
    return listing, root


def glob_root(pattern: str) -> Path:
    """The folder that a glob searches."""
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def list_store(storage: Storage) -> tuple[Listing, dict[str, ObjectInfo]]:
    """The movies below a prefix, and what the store says about each key."""
    listing, infos = Listing(), {}
    odd: list[str] = []
    for info in storage.list(on_odd=odd.append):
        path = PurePosixPath(info.key)
        if any(map(_is_hidden, path.parts[:-1])):
            listing.passed_over["files in hidden or trash folders"] += 1
        elif not info.size and _is_movie(path) and not storage.exists(info.key):
            # A folder that a web console created.
            odd.append(f"{info.key}/")
        else:
            listing.add(info.key, info.key)
            infos[info.key] = info
    if odd:
        names = ", ".join(ascii(key) for key in odd[:_NUM_NAMED])
        more = ", ..." if len(odd) > _NUM_NAMED else ""
        listing.passed_over[f"keys that cannot be read ({names}{more})"] += len(odd)
    return listing, infos


def described(passed_over: Counter[str]) -> Iterator[str]:
    """`.srt 12`, `.jpg 3`, ...: the most frequent first."""
    for ending, count in sorted(passed_over.items(), key=lambda item: (-item[1], item[0])):
        if count:
            yield f"{ending} {count}"


def require_found(listing: Listing, corpus: str) -> None:
    """Raise `InputError` for a corpus without a movie."""
    if not listing.files:
        others = ", ".join(described(listing.passed_over))
        raise InputError(
            f"no movies in {corpus}; looked for files ending in {' '.join(sorted(MOVIE_SUFFIXES))}"
            + (f"; found only {others}" if others else "")
        )


def _is_movie(path: PurePosixPath) -> bool:
    return path.suffix.lower() in MOVIE_SUFFIXES


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in _TRASH
