"""What a lockfile contains: a recipe, and for each movie how to recognize it and which clips.

It has no frames, no audio and no path: nothing of a movie can be seen or heard from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.fingerprints.words import Words
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.schema.dropped import DROP_REASONS

#: The version that is written; versions with another major number cannot be read.
LOCK_VERSION = "1.1"

#: The version without dropped clips.
FIRST_VERSION = "1.0"


#: Columns that a locked movie has as the dataset's `movies.parquet` has them.
ROW_COLUMNS = (
    "movie_id",
    "group",
    "source_bytes",
    "source_fingerprint",
    "duration_ns",
    "wanted_language",
    "wanted_audio_track",
    "wanted_program",
    "wanted_start_seconds",
    "wanted_end_seconds",
    "clips_not_chosen",
    "extra",
)


@dataclass(frozen=True, eq=False)
class LockedClips:
    """The N clips of a movie in the order of their shards; arrays are (N,)."""

    clip_number: NDArray[np.int32]
    start_step: NDArray[np.int32]
    """Grid step (of 1 / fps seconds) at which the clip starts."""
    shard: NDArray[np.int32]
    """Number of its shard."""
    shot_id: NDArray[np.int32]
    num_cuts: NDArray[np.int32]
    crc32c: NDArray[np.uint32]
    """CRC-32C of the clip's bytes in its shard."""
    audio_words: Words
    """(N, parts) uint64, see `words`; 0 for none."""
    frame_words: Words
    """(N, 2) uint64 of the first and last frame; 0 for none."""

    def __len__(self) -> int:
        return len(self.clip_number)


@dataclass(frozen=True, eq=False)
class LockedDrops:
    """The D clips of a movie that rules dropped, by time; arrays are (D,). See `DroppedClips`."""

    clip_number: NDArray[np.int32]
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    reason: NDArray[np.int32]
    """Number of the reason in `DROP_REASONS`."""

    @staticmethod
    def none() -> LockedDrops:
        """Of a movie without dropped clips."""
        none, no_times = np.zeros(0, np.int32), np.zeros(0, np.int64)
        return LockedDrops(none, no_times, no_times, none)

    def __len__(self) -> int:
        return len(self.reason)

    def rows(self) -> list[tuple[int, int, int, str]]:
        """Clip number, start, end and reason of each."""
        columns = (self.clip_number, self.start_ns, self.end_ns)
        reasons = (DROP_REASONS[code] for code in self.reason.tolist())
        return list(zip(*(column.tolist() for column in columns), reasons, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class LockedMovie:
    """One movie. Columns have the meaning of those of `movies.parquet`."""

    movie_id: str
    group: str
    source_name: str
    """Name of the source's file, without its folder."""
    source_bytes: int
    source_fingerprint: str
    duration_ns: int
    height: int
    """Of a stored frame, pixels."""
    width: int
    audio_language: str
    wanted_language: str
    wanted_audio_track: int
    wanted_program: int
    wanted_start_seconds: float
    wanted_end_seconds: float
    clips_not_chosen: int
    dropped_black: int
    dropped_silent: int
    dropped_frozen: int
    dropped_too_short: int
    dropped_damaged: int
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further columns of the manifest."""
    clips: LockedClips
    drops: LockedDrops = field(default_factory=LockedDrops.none)
    """Empty also if the dataset does not list them, although `dropped_...` count them."""


@dataclass(frozen=True, eq=False)
class Lock:
    """A dataset as its lockfile describes it."""

    recipe: Recipe
    movies: Sequence[LockedMovie]
    """With clips, sorted by movie id."""
    ffmpeg_version: str
    """That made the dataset."""
    digest: str
    """SHA-256 of all that is above."""
    version: str = LOCK_VERSION
    """Of the file format."""

    @property
    def num_clips(self) -> int:
        """Of all movies."""
        return sum(len(movie.clips) for movie in self.movies)

    def clip_ns(self, start_step: int) -> tuple[int, int]:
        """Start and end of a clip on the movie timeline."""
        recipe = self.recipe
        return recipe.grid_ns(start_step), recipe.grid_ns(start_step + recipe.num_frames)


def steps_of(start_ns: NDArray[np.int64], recipe: Recipe) -> NDArray[np.int32]:
    """The grid steps that clips with these starts begin at."""
    steps = np.rint(start_ns / NANOSECONDS * float(recipe.fps_fraction))
    return steps.astype(np.int32)
