"""A movie that is open for reading: the address that ffmpeg gets, and what its reads are bound by.

`access.open_source` yields one; every function that starts ffmpeg takes it as an argument.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from pipeline.errors import MovieError, SourceError
from pipeline.limits import Limits


class Readable:
    """A movie's bytes, readable by ffmpeg until `open_source` closes them. Here: a local file."""

    protocols = "file,pipe"
    """All that ffmpeg may open to read `url`."""

    def __init__(self, url: str, fingerprint: str, limits: Limits) -> None:
        self.url = url
        """Input address for ffmpeg; never a bare path, which could read as an option."""
        self.fingerprint = fingerprint
        """Of the source that was opened."""
        self.limits = limits
        """Bounds of every ffmpeg process that reads this source."""

    def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the movie; fewer only at its end.

        Raises `MovieError` if they cannot be read.
        """
        try:
            with open(self.url.removeprefix("file:"), "rb") as file:
                file.seek(start)
                return file.read(max(0, end - start))
        except OSError as error:
            raise SourceError(f"cannot read the movie: {error}") from error

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[int, int], bytes]]:
        """A function like `read`, for many small reads."""
        try:
            with open(self.url.removeprefix("file:"), "rb", buffering=0) as file:
                number = file.fileno()
                yield lambda start, end: os.pread(number, max(0, end - start), start)
        except OSError as error:
            raise SourceError(f"cannot read the movie: {error}") from error

    @property
    def failure(self) -> MovieError | None:
        """The first failed read, after which nothing that ffmpeg returned can be trusted."""
        return None

    @property
    def waited_seconds(self) -> float:
        """How long ffmpeg has waited for the store so far."""
        return 0.0
