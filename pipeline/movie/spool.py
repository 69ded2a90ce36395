"""A temporary file with the decoded bytes of one movie: filled part by part, read clip by clip.

Clips are written in an order that is spread over the whole movie, so any few of them need all
parts. The parts come out of the object store one at a time, are appended to one unnamed file, and
are released; memory holds one part, however long the movie is.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: The key of the audio among the parts.
AUDIO_PART: Final = "audio"
#: What a part is called: a video segment by its number, or `AUDIO_PART`.
PartKey: TypeAlias = int | Literal["audio"]


@contextlib.contextmanager
def open_spool() -> Iterator[Spool]:
    """An empty spool. Its file is gone afterwards, or when the process dies."""
    with tempfile.TemporaryFile(prefix="reelshards-") as file:
        yield Spool(file)


class Spool:
    """The parts of a movie, in one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._starts: dict[PartKey, int] = {}
        self._end = 0

    def add(self, key: PartKey, pieces: Iterable[NDArray[np.uint8]]) -> None:
        """Append a part, given as one or more arrays (N,) uint8."""
        self._starts[key] = self._end
        self._file.seek(self._end)
        for piece in pieces:
            self._end += self._file.write(piece.data)

    def part(self, key: PartKey) -> SpoolPart:
        """The part that was added under `key`."""
        return SpoolPart(self._file, self._starts[key])


@dataclass(frozen=True)
class SpoolPart:
    """One part of a spool."""

    file: IO[bytes]
    offset: int
    """Of the part's first byte in the file."""

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of the part."""
        self.file.seek(self.offset + start)
        data = self.file.read(stop - start)
        assert len(data) == stop - start, f"bytes [{start}, {stop}) are not in the spool"
        return data
