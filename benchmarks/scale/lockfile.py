"""Time and memory of large lockfiles: writing, reading, and the start of matching.

    python -m benchmarks.scale.lockfile [--movies 5000] [--clips 1000]

makes a lock of random words (a dataset's other rows without shards), and measures in fresh
processes: writing it; reading it; and what a rebuild does before it decodes the first clip, for a
copy of two hours that plays one of its movies: sorting the lock's words, which is done once, and
recognizing the copy.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.matching import Searched
from pipeline.matching.recognize import heard_in, seen_in
from pipeline.matching.search import Settings
from shards_spec.dataset.lockfile.columns import digest_of
from shards_spec.dataset.lockfile.file import read_lock, write_lock
from shards_spec.dataset.lockfile.lock import (
    LOCK_VERSION,
    Lock,
    LockedClips,
    LockedDrops,
    LockedMovie,
)
from shards_spec.dataset.lockfile.words import FRAMES_PER_CLIP, num_parts
from shards_spec.process import peak_rss_bytes
from shards_spec.recipe import Recipe

_NUM_DROPS = 60


def made_lock(num_movies: int, num_clips: int) -> Lock:
    """A lock of movies with random words."""
    recipe, rng = Recipe(), np.random.default_rng(0)
    movies = [_movie(recipe, rng, number, num_clips) for number in range(num_movies)]
    return Lock(recipe, movies, "n8", digest_of(recipe, movies, "n8", LOCK_VERSION))


def _movie(recipe: Recipe, rng: np.random.Generator, number: int, count: int) -> LockedMovie:
    numbers = np.arange(count, dtype=np.int32)
    starts = numbers * np.int32(recipe.stride_frames)
    begins = np.arange(_NUM_DROPS) * 3_200_000_000
    no_cut, in_shard = np.zeros(count, np.int32), np.int32(300)
    return LockedMovie(
        movie_id=f"movie-{number:06d}",
        group=f"movie-{number:06d}",
        source_name=f"Movie {number}.mkv",
        source_bytes=1_000_000_000 + number,
        source_fingerprint=f"{number:016x}",
        duration_ns=recipe.grid_ns(count * recipe.stride_frames + recipe.num_frames),
        height=224,
        width=398,
        audio_language="eng",
        wanted_language="",
        wanted_audio_track=-1,
        wanted_program=0,
        wanted_start_seconds=0.0,
        wanted_end_seconds=0.0,
        clips_not_chosen=0,
        dropped_black=_NUM_DROPS,
        dropped_silent=0,
        dropped_frozen=0,
        dropped_too_short=0,
        dropped_damaged=0,
        clips=LockedClips(
            clip_number=numbers,
            start_step=starts,
            shard=numbers // in_shard,
            shot_id=numbers // np.int32(2),
            num_cuts=no_cut,
            crc32c=rng.integers(0, 1 << 32, count, np.uint32),
            audio_words=_words(rng, (count, num_parts(recipe))),
            frame_words=_words(rng, (count, FRAMES_PER_CLIP)),
        ),
        drops=LockedDrops(
            np.arange(_NUM_DROPS, dtype=np.int32) + np.int32(count),
            begins,
            begins + 3_200_000_000,
            np.full(_NUM_DROPS, 2, np.int32),
        ),
    )


def _words(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    return rng.integers(1, 1 << 64, shape, np.uint64, endpoint=False)


@dataclass(frozen=True, eq=False)
class _Copy:
    """A copy of one movie, with some wrong bits in every word."""

    times: NDArray[np.float64]
    known: NDArray[np.uint64]
    seconds: float
    settings: Settings

    def words(self, seconds: NDArray[np.float64], speed: float) -> NDArray[np.uint64]:
        """The known word nearest to each time, if it is near; else an unrelated one."""
        rows = np.clip(np.searchsorted(self.times, seconds * speed), 1, len(self.times) - 1)
        before = np.abs(self.times[rows - 1] - seconds * speed)
        rows = np.where(before < np.abs(self.times[rows] - seconds * speed), rows - 1, rows)
        is_near = np.abs(self.times[rows] - seconds * speed) < 0.03
        unrelated = np.random.default_rng(len(seconds)).integers(1, 1 << 63, len(rows), np.uint64)
        return np.where(is_near, self.known[rows] ^ np.uint64(0x0101), unrelated)


def _copy(searched: Searched, kind: str) -> _Copy:
    parts = searched.audio if kind == "audio" else searched.video
    rows = np.flatnonzero(parts.movie == len(searched.movies) // 2)
    end = float(parts.seconds[rows[-1]]) + 5.0
    shifts = np.arange(-0.1, 0.1001, 0.005)
    settings = Settings(0.8, 22.0, shifts, 0.015, 3e-5, 1)
    return _Copy(parts.seconds[rows], parts.words[rows], end, settings)


def main() -> None:
    """Print a row of the result file for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movies", type=int, default=5000)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--step", default="", choices=["", "write", "read", "match"])
    parser.add_argument("--file", default="")
    options = parser.parse_args()
    if options.step:
        _run(options.step, options.file, options.movies, options.clips)
        return
    with tempfile.TemporaryDirectory() as folder:
        sizes = ["--movies", str(options.movies), "--clips", str(options.clips)]
        for step in ("write", "read", "match"):
            command = [sys.executable, "-m", "benchmarks.scale.lockfile", "--step", step]
            subprocess.run([*command, *sizes, "--file", f"{folder}/large.lock"], check=True)


def _run(step: str, file: str, num_movies: int, num_clips: int) -> None:
    if step == "write":
        lock = made_lock(num_movies, num_clips)
        _timed("writing", lambda: write_lock(file, lock))
        _write(f"| bytes | {Path(file).stat().st_size:,} | {lock.num_clips:,} clips |")
        return
    read = _timed("reading", lambda: read_lock(file))
    if step == "match":
        searched = Searched(read, range(len(read.movies)))
        for kind, recognize in (("audio", heard_in), ("video", seen_in)):
            copy = _copy(searched, kind)
            for name in ("first", "second"):
                title = f"recognizing the {name} copy by its {kind}"
                found = _timed(title, partial(recognize, searched, copy))
                assert list(found) == [num_movies // 2]


def _timed(name: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    _write(f"| {name} | {seconds:.1f} s | {peak_rss_bytes() / 2**20:,.0f} MiB |")
    return result


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
