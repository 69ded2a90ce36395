"""How well a movie's sound fits its picture in the source, and what is corrected: for people.

The same steps as for a dataset, only that the frame times are kept to be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.audio import AudioFrame, AudioReport, Piece, Soundtrack
from pipeline.probe import Probe, frame_times_ns, probe
from pipeline.sources import Movie, Readable, find_movies, fingerprint, open_source
from pipeline.video import find_crop
from shards_spec.errors import InputError
from shards_spec.recipe import NANOSECONDS

_RATE_HZ = 16_000
_MILLISECONDS = 1_000.0


@dataclass(frozen=True)
class SoundClock:
    """The two clocks of the sound, frame by frame."""

    seconds: NDArray[np.float64]
    """(N,) when each decoded frame is placed on the movie timeline."""
    told_ms: NDArray[np.float64]
    """(N,) its own timestamp less the time by counting samples from t = 0."""
    placed_ms: NDArray[np.float64]
    """(N,) where it was placed, less the same."""


@dataclass(frozen=True)
class SyncCheck:
    """What was found in one movie."""

    movie: str
    probe: Probe
    crop: str
    """Picture area kept, `width:height:x:y`; empty when whole."""
    sound: AudioReport
    overlaps_ns: tuple[tuple[int, int], ...]
    """Stretches [start, end) for which sound came twice."""
    clock: SoundClock
    frames_ns: NDArray[np.int64]
    """(M,) when frames come on screen."""

    @property
    def drift_end_ms(self) -> float:
        """How far the sound would be off at its end if its drift were left alone."""
        return self.sound.drift_ppm * self.sound.decoded_ns / NANOSECONDS / _MILLISECONDS

    @property
    def noise_ms(self) -> float:
        """Half of the timestamps are this near to where the sound was placed."""
        away = np.abs(self.clock.told_ms - self.clock.placed_ms)
        return float(np.median(away)) if len(away) else 0.0

    @property
    def gaps_ns(self) -> list[tuple[int, int]]:
        """Stretches without sound, the longest first."""
        return sorted(self.sound.fills_ns, key=lambda gap: gap[0] - gap[1])

    @property
    def frame_distances_ms(self) -> tuple[float, float, float]:
        """Least, middle and greatest time from frame to frame."""
        steps = np.diff(self.frames_ns) / 1e6
        if len(steps) == 0:
            return 0.0, 0.0, 0.0
        return float(steps.min()), float(np.median(steps)), float(steps.max())


def check_sync(uri: str, language: str, audio_track: int) -> SyncCheck:
    """Look at one movie. Raises `MovieError` or `InputError`."""
    movies = find_movies(uri)
    if len(movies) != 1:
        raise InputError(f"{uri} holds {len(movies)} movies; name one of them")
    movie = replace(movies[0], audio_track=audio_track)
    mark = fingerprint(movie)
    with open_source(movie, mark) as source:
        return _check(movie, source, language)


def _check(movie: Movie, source: Readable, language: str) -> SyncCheck:
    found = probe(movie, source, language)
    crop = find_crop(found, source, movie.name)
    track = Soundtrack(
        source, found.audio, found.start_ns, found.duration_ns, what=movie.name, keep_frames=True
    )
    with track:
        for _ in track.chunks(_RATE_HZ):
            pass
    return SyncCheck(
        movie=movie.name,
        probe=found,
        crop=str(crop) if crop else "",
        sound=track.report(),
        overlaps_ns=overlaps_ns(track.pieces, found.audio.sample_rate_hz),
        clock=sound_clock(track.frames, track.pieces, found.audio.sample_rate_hz),
        frames_ns=frame_times_ns(movie, source, found),
    )


def overlaps_ns(pieces: list[Piece], rate_hz: int) -> tuple[tuple[int, int], ...]:
    """Where pieces begin before the one before has ended."""
    ends = [(before.start + before.length, piece.start) for before, piece in pairwise(pieces)]
    return tuple(
        (round(start * NANOSECONDS / rate_hz), round(end * NANOSECONDS / rate_hz))
        for end, start in ends
        if start < end
    )


def sound_clock(frames: list[AudioFrame], pieces: list[Piece], rate_hz: int) -> SoundClock:
    """Timestamps and places of all frames that were placed, against the count of samples."""
    counts = np.array([frame.count for frame in frames], dtype=np.int64)
    firsts = np.cumsum(counts) - counts
    ends = np.array([piece.first + piece.count for piece in pieces], dtype=np.int64)
    known = np.array([frame.pts is not None for frame in frames], dtype=bool)
    known &= firsts < (ends[-1] if len(ends) else 0)
    told = np.array([frame.pts or 0 for frame in frames], dtype=np.float64)[known]
    firsts = firsts[known]
    at = np.searchsorted(ends, firsts, side="right")
    begin = np.array([piece.first for piece in pieces])[at]
    start = np.array([piece.start for piece in pieces])[at]
    speed = np.array([piece.length / piece.count for piece in pieces])[at]
    placed = start + (firsts - begin) * speed
    scale = _MILLISECONDS / rate_hz
    return SoundClock(placed / rate_hz, (told - firsts) * scale, (placed - firsts) * scale)
