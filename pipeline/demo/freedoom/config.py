"""Settings of the Freedoom library. All of them affect the movies, so all are saved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from shards_spec.errors import InputError

#: Tics per second of the engine.
TIC_RATE_HZ = 35

#: The engine's state is stored as a frame every so many tics: 17.5 frames per second.
TICS_PER_FRAME = 2

MAX_MOVIES = 68


@dataclass(frozen=True, kw_only=True)
class FreedoomConfig:
    """What the movies of `--kind freedoom` are like."""

    movies: int = MAX_MOVIES
    """Maps to play, 1 to 68, in the order of the game; each is one movie."""
    seconds: float = 300.0
    """Length of each movie, seconds, 2 to 3600."""
    frame: Literal["160x120", "320x240", "640x480"] = "320x240"
    """Size of the frames in pixels."""
    music_dbfs: float = -30.0
    """Level (RMS) of the map's music below the effects, dBFS, -90 to -6."""
    seed: int = 0
    """The bot's and the engine's randomness: the same seed and settings give the same movies."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("movies", self.movies, 1, MAX_MOVIES),
            ("seconds", self.seconds, 2.0, 3600.0),
            ("music-dbfs", self.music_dbfs, -90.0, -6.0),
            ("seed", self.seed, 0, 2**31 - 1),
        ):
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"freedoom: {name} is {value}; it must be in [{low}, {high}]")
        if self.frame not in ("160x120", "320x240", "640x480"):
            raise InputError(
                f"freedoom: frame is {self.frame!r}; it must be 160x120, 320x240 or 640x480"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self.frame.split("x")
        return int(width), int(height)

    @property
    def num_tics(self) -> int:
        """Of one movie; whole frames."""
        return int(self.seconds * TIC_RATE_HZ) // TICS_PER_FRAME * TICS_PER_FRAME
