"""A movie's clip bytes on the writer's disk: filled part by part, read clip by clip.

Clips are written in an order that is spread over the whole movie, so any few of them need all
parts. The parts come out of the object store one at a time, are appended to one nameless file, and
are let go of; memory holds one part, however long the movie is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

#: Name of the sound among the parts; the pictures have their segments' numbers.
SOUND = -1


class Spool:
    """Use as a context manager; at its end, or when the process dies, the file is gone."""

    def __init__(self) -> None:
        # Unlinked from the start; closed by `__exit__`.
        self._file = tempfile.TemporaryFile(prefix="reelshards-")  # noqa: SIM115
        self._starts: dict[int, int] = {}
        self._end = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, name: int, parts: Iterable[NDArray[np.uint8]]) -> None:
        """Append the bytes (N,) uint8 of `SOUND` or of a segment, which may come in parts."""
        self._starts[name] = self._end
        self._file.seek(self._end)
        for part in parts:
            self._end += self._file.write(part.data)

    def part(self, name: int) -> SpoolPart:
        """What was added under `name`."""
        return SpoolPart(self._file, self._starts[name])


@dataclass(frozen=True)
class SpoolPart:
    """Bytes of a spool that are read when a slice of them is taken, as of an array."""

    file: IO[bytes]
    start: int

    def __getitem__(self, key: slice) -> NDArray[np.uint8]:
        """(stop - start,) uint8 of a slice with both ends and no step."""
        self.file.seek(self.start + key.start)
        size = key.stop - key.start
        data = np.frombuffer(self.file.read(size), np.uint8)
        assert len(data) == size, (self.start, key)
        return data
