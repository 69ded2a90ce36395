"""Upper bounds for a movie: bytes, pixels, time. Movies are untrusted; none may take a node down.

An opened source carries its limits (see `sources.readable`), so every ffmpeg process that reads it
is bound by them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.errors import TooLargeError
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS

GIB = 1 << 30

#: Audio that ffmpeg and the resampler can handle at a reasonable cost: DSD512 is below this rate.
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 6_000_000
MAX_CHANNELS = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds for one movie and for one ffmpeg process."""

    max_source_gib: float = 1024.0
    """Size of a source, GiB; a larger one is quarantined as `too_large`."""
    max_movie_hours: float = 48.0
    """Length of a movie according to its packets, hours; a longer one is `too_large`."""
    max_side: int = 16384
    """Width or height of a coded frame, pixels; a movie with larger ones is `too_large`."""
    max_streams: int = 256
    """Streams in a source; one with more is `too_large`."""
    max_packets: int = 10_000_000
    """Video packets (frames) in a source; one with more is `too_large`. 48 hours at 57 frames/s."""
    ffmpeg_memory_gib: float = 4.0
    """Address space of one ffmpeg process, GiB; 0 for no limit. Doubled when memory ran out."""
    no_progress_seconds: float = 120.0
    """Time without output after which ffmpeg is stopped and its task retried, seconds."""
    min_source_kib_per_second: float = 1.0
    """What a store must send at least while a task waits for it, on average over
    `--no-progress-seconds`, KiB/s."""
    ffmpeg_hours: float = 24.0
    """Wall time of one ffmpeg process (a segment, the audio, a probe), hours."""

    def __post_init__(self) -> None:
        sizes = (self.max_source_gib, self.max_movie_hours, self.max_side, self.max_streams)
        if min(*sizes, self.max_packets) <= 0:
            raise InputError(f"limits must be positive; found {self}")
        if self.ffmpeg_memory_gib < 0:
            raise InputError(f"{self.ffmpeg_memory_gib = } must be positive, or 0 for no limit")
        if self.min_source_kib_per_second < 0:
            raise InputError(f"{self.min_source_kib_per_second = } must not be negative")
        if min(self.no_progress_seconds, self.ffmpeg_hours) <= 0:
            raise InputError(
                f"{self.no_progress_seconds = } and {self.ffmpeg_hours = } must be positive"
            )

    def with_memory(self, factor: int) -> Limits:
        """The same limits with `factor` times the memory for ffmpeg."""
        return replace(self, ffmpeg_memory_gib=self.ffmpeg_memory_gib * factor)

    def check_source(self, name: str, num_bytes: int) -> None:
        """Raise `TooLargeError` for a source that is too large to be fetched."""
        if num_bytes > self.max_source_gib * GIB:
            raise TooLargeError(
                f"{name}: {num_bytes / GIB:.1f} GiB; --max-source-gib allows "
                f"{self.max_source_gib:g}: raise it if the movie is genuine"
            )

    def check_movie(self, name: str, duration_ns: int, width: int, height: int) -> None:
        """Raise `TooLargeError` for a movie that is too long or whose frames are too large."""
        hours = duration_ns / NANOSECONDS / 3600
        if hours > self.max_movie_hours:
            raise TooLargeError(
                f"{name}: {hours:.1f} hours according to its packets; --max-movie-hours allows "
                f"{self.max_movie_hours:g}: raise it if the movie is genuine; "
                "if its timestamps are broken, remux it (ffmpeg -i IN -c copy OUT.mkv)"
            )
        if max(width, height) > self.max_side:
            raise TooLargeError(
                f"{name}: frames of {width}x{height}; "
                f"--max-side allows {self.max_side}: raise it if the movie is genuine"
            )

    def check_audio(self, name: str, sample_rate_hz: int, channels: int) -> None:
        """Raise `TooLargeError` for an audio track that no genuine movie has."""
        is_usual = MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ and channels <= MAX_CHANNELS
        if not is_usual:
            raise TooLargeError(
                f"{name}: audio of {channels:,} channels at {sample_rate_hz:,} Hz; accepted are up "
                f"to {MAX_CHANNELS} channels at {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz: replace the "
                "file, or name another track in a corpus manifest"
            )
