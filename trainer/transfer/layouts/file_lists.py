"""Reading the lists of a data set, and finding the files that they name."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shards_spec.errors import InputError
from trainer.transfer.labeled_files import LabeledFile

#: Endings of files that may be a clip: the first that exists is used.
SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov"),
    *(".flac", ".wav", ".m4a", ".ogg", ".opus", ".mp3"),
)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """(line number from 1, text) of the lines that are not empty, without spaces at their ends.

    Raises `InputError` if the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line]


def read_rows(path: Path, columns: Iterable[str], *, has_header: bool) -> Iterator[dict[str, str]]:
    """The rows of a CSV file by column; without a header, the columns are in this order.

    Lines that begin with # are comments. Raises `InputError`, naming the line, for a row that lacks
    a column, and for a file that cannot be read.
    """
    lines = [(number, line) for number, line in read_lines(path) if not line.startswith("#")]
    names = list(columns)
    order = names
    for (number, _), row in zip(lines, _parsed(lines), strict=True):
        if has_header:
            order, has_header = row, False
            if lacking := [name for name in names if name not in order]:
                raise InputError(f"{path} lacks the columns {lacking}; it has {order}")
        elif len(row) < len(order):
            raise InputError(f"{path}, line {number}: {len(row)} columns instead of {len(order)}")
        else:
            yield dict(zip(order, row, strict=False))


def _parsed(lines: list[tuple[int, str]]) -> Iterator[list[str]]:
    for _, line in lines:
        yield next(csv.reader([line], skipinitialspace=True))


def first_that_exists(root: Path, *names: str) -> Path:
    """The first of these files or folders below `root`. Raises `InputError` without any."""
    for name in names:
        if (root / name).exists():
            return root / name
    raise InputError(f"{root} has no {' or '.join(names)}; check --root")


class FilesByStem:
    """All clips below a folder, by their name without the ending."""

    def __init__(self, root: Path) -> None:
        self._paths: dict[str, list[Path]] = {}
        for folder, folders, names in os.walk(root, followlinks=True):
            folders.sort()
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    self._paths.setdefault(stem, []).append(Path(folder, name))

    def find(self, *stems: str) -> Path | None:
        """The file with the first of these names that exists.

        Of several files with one name, the first by `SUFFIXES`. Raises `InputError` if two differ
        in their folder alone: they may be different clips.
        """
        for stem in stems:
            paths = self._paths.get(stem, [])
            for suffix in SUFFIXES:
                fitting = [path for path in paths if path.suffix.lower() == suffix]
                if len(fitting) > 1:
                    raise InputError(f"{fitting[0]} and {fitting[1]} have one name; remove one")
                if fitting:
                    return fitting[0]
        return None


def whole_seconds(text: str, path: Path) -> int:
    """A start time of a list as whole seconds. Raises `InputError` unless it is a number."""
    try:
        return round(float(text))
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: {text!r} is not a time in seconds") from error


@dataclass
class FileTable:
    """Files in the order of the lists, each once, and the numbers of their classes."""

    files: list[LabeledFile] = field(default_factory=list)
    row: dict[str, int] = field(default_factory=dict)
    """By name."""

    def add(self, file: LabeledFile) -> int:
        """The row of the file; the first entry of a name counts."""
        if file.name not in self.row:
            self.row[file.name] = len(self.files)
            self.files.append(file)
        return self.row[file.name]


def numbered(classes: Iterable[str]) -> Mapping[str, int]:
    """The number of each class, in alphabetical order."""
    return {name: number for number, name in enumerate(sorted(set(classes)))}
