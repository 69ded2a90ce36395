"""How much a film may ask for: bytes, pixels, time. Films are untrusted: none takes a node down.

The limits travel with every task as a context variable, so that each ffmpeg that runs for a film
is bound by them wherever it is started.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace

from pipeline.errors import TooLargeError
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a film may be and take; beyond, it is quarantined as `too_large`."""

    max_source_gib: float = 1024.0
    """Size of a source, GiB."""
    max_film_hours: float = 48.0
    """Length of a film as its packets tell it, hours."""
    max_side: int = 16384
    """Width or height of a coded frame, pixels."""
    max_streams: int = 256
    """Streams in a source; ffmpeg stops reading at this number."""
    ffmpeg_memory_gib: float = 4.0
    """Address space of one ffmpeg, GiB; 0 for no limit. Doubled after each lack of memory."""
    no_progress_seconds: float = 120.0
    """How long an ffmpeg may give nothing before its task is tried again, seconds."""
    ffmpeg_hours: float = 24.0
    """Wall time of one ffmpeg (a segment, the sound, a look), hours; shorter ones have less."""

    def __post_init__(self) -> None:
        if min(self.max_source_gib, self.max_film_hours, self.max_side, self.max_streams) <= 0:
            raise InputError(f"limits must be positive; found {self}")
        if self.ffmpeg_memory_gib < 0:
            raise InputError(f"{self.ffmpeg_memory_gib = }: must be positive, or 0 for no limit")
        if min(self.no_progress_seconds, self.ffmpeg_hours) <= 0:
            raise InputError(f"{self.no_progress_seconds = } and {self.ffmpeg_hours = }: positive")

    def with_memory(self, factor: int) -> Limits:
        """The same with more memory for ffmpeg."""
        return replace(self, ffmpeg_memory_gib=self.ffmpeg_memory_gib * factor)


_current: ContextVar[Limits] = ContextVar("limits")


def current() -> Limits:
    """The limits that hold here; the defaults outside of `applied`."""
    return _current.get(Limits())


@contextlib.contextmanager
def applied(limits: Limits) -> Iterator[None]:
    """Bind everything that runs inside by `limits`."""
    token = _current.set(limits)
    try:
        yield
    finally:
        _current.reset(token)


def check_source(name: str, num_bytes: int) -> None:
    """Raise `TooLargeError` for a source that is not worth fetching."""
    limit = current().max_source_gib
    if num_bytes > limit * GIB:
        raise TooLargeError(
            f"{name}: {num_bytes / GIB:.1f} GiB; "
            f"--max-source-gib allows {limit:g}: raise it if the film is genuine"
        )


def check_film(name: str, duration_ns: int, width: int, height: int) -> None:
    """Raise `TooLargeError` for a film that is too long, or whose coded frames are too large."""
    limits = current()
    hours = duration_ns / NANOSECONDS / 3600
    if hours > limits.max_film_hours:
        raise TooLargeError(
            f"{name}: {hours:.1f} hours by its packets; "
            f"--max-film-hours allows {limits.max_film_hours:g}: raise it if the film is genuine; "
            "if its timestamps are broken, remux it (ffmpeg -i IN -c copy OUT.mkv)"
        )
    if max(width, height) > limits.max_side:
        raise TooLargeError(
            f"{name}: frames of {width}x{height}; "
            f"--max-side allows {limits.max_side}: raise it if the film is genuine"
        )
