"""How well audio and video of a source are in sync, and what a run corrects.

The same steps as for a dataset, except that the times of all frames are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import AudioReport, Soundtrack
from pipeline.audio.timeline import AudioFrame, Piece
from pipeline.probe import Probe, frame_times_ns, probe
from pipeline.sources import Movie, Readable
from pipeline.sources.access import open_source
from pipeline.sources.corpus import find_movies
from pipeline.sources.identity import fingerprint
from pipeline.video import find_crop
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS

_RATE_HZ = 16_000
_MILLISECONDS = 1_000.0


@dataclass(frozen=True)
class AudioClock:
    """The two clocks of the audio, frame by frame."""

    seconds: NDArray[np.float64]
    """(N,) aligned time of each decoded frame on the movie timeline."""
    timestamp_ms: NDArray[np.float64]
    """(N,) the frame's own timestamp minus the time by counting samples from t = 0."""
    aligned_ms: NDArray[np.float64]
    """(N,) the aligned time minus the same."""


@dataclass(frozen=True)
class SyncCheck:
    """The findings for one movie."""

    movie: str
    probe: Probe
    crop: str
    """Area of the frames that is kept, `width:height:x:y`; empty when all of it is."""
    audio: AudioReport
    overlaps_ns: tuple[tuple[int, int], ...]
    """Ranges [start, end) that the track covers twice."""
    clock: AudioClock
    frames_ns: NDArray[np.int64]
    """(M,) times at which frames appear on screen."""

    @property
    def drift_end_ms(self) -> float:
        """Offset of the audio at its end if its drift were not corrected."""
        return self.audio.drift_ppm * self.audio.decoded_ns / NANOSECONDS / _MILLISECONDS

    @property
    def noise_ms(self) -> float:
        """Median distance between a timestamp and the aligned time."""
        distances = np.abs(self.clock.timestamp_ms - self.clock.aligned_ms)
        return float(np.median(distances)) if len(distances) else 0.0

    @property
    def gaps_ns(self) -> list[tuple[int, int]]:
        """Ranges without audio, the longest first."""
        return sorted(self.audio.fills_ns, key=lambda gap: gap[0] - gap[1])

    @property
    def frame_distances_ms(self) -> tuple[float, float, float]:
        """Minimum, median and maximum time from frame to frame."""
        steps = np.diff(self.frames_ns) / 1e6
        if len(steps) == 0:
            return 0.0, 0.0, 0.0
        return float(steps.min()), float(np.median(steps)), float(steps.max())


def check_sync(uri: str, language: str, audio_track: int) -> SyncCheck:
    """Check one movie.

    Raises `InputError` unless `uri` is one movie, and the pipeline's errors of unusable movies.
    """
    movies = find_movies(uri)
    if len(movies) != 1:
        raise InputError(f"{uri} contains {len(movies)} movies; name one of them")
    movie = replace(movies[0], audio_track=audio_track)
    with open_source(movie, fingerprint(movie)) as source:
        return _check(movie, source, language)


def _check(movie: Movie, source: Readable, language: str) -> SyncCheck:
    probed = probe(movie, source, language)
    crop = find_crop(probed, source, movie.name)
    track = Soundtrack(source, probed, probed.duration_ns, what=movie.name, keep_frames=True)
    with track:
        for _ in track.chunks(_RATE_HZ):
            pass
    return SyncCheck(
        movie=movie.name,
        probe=probed,
        crop=str(crop) if crop else "",
        audio=track.report(),
        overlaps_ns=overlaps_ns(track.pieces, probed.audio.sample_rate_hz),
        clock=audio_clock(track.frames, track.pieces, probed.audio.sample_rate_hz),
        frames_ns=frame_times_ns(movie, source, probed),
    )


def overlaps_ns(pieces: list[Piece], rate_hz: int) -> tuple[tuple[int, int], ...]:
    """Where a piece begins before the previous one has ended."""
    ends = [(before.start + before.length, piece.start) for before, piece in pairwise(pieces)]
    return tuple(
        (round(start * NANOSECONDS / rate_hz), round(end * NANOSECONDS / rate_hz))
        for end, start in ends
        if start < end
    )


def audio_clock(frames: list[AudioFrame], pieces: list[Piece], rate_hz: int) -> AudioClock:
    """Timestamps and aligned times of all aligned frames, relative to the count of samples."""
    counts = np.array([frame.count for frame in frames], dtype=np.int64)
    firsts = np.cumsum(counts) - counts
    ends = np.array([piece.first + piece.count for piece in pieces], dtype=np.int64)
    known = np.array([frame.pts is not None for frame in frames], dtype=bool)
    known &= firsts < (ends[-1] if len(ends) else 0)
    timestamps = np.array([frame.pts or 0 for frame in frames], dtype=np.float64)[known]
    firsts = firsts[known]
    at = np.searchsorted(ends, firsts, side="right")
    begin = np.array([piece.first for piece in pieces])[at]
    start = np.array([piece.start for piece in pieces])[at]
    speed = np.array([piece.length / piece.count for piece in pieces])[at]
    aligned = start + (firsts - begin) * speed
    scale = _MILLISECONDS / rate_hz
    return AudioClock(
        seconds=aligned / rate_hz,
        timestamp_ms=(timestamps - firsts) * scale,
        aligned_ms=(aligned - firsts) * scale,
    )
