"""A small valid dataset with real JPEG strips and log-mels, made in milliseconds without ffmpeg.

Every movie has its own tint and hum (what a model should not rely on), every clip one of
`NUM_CLASSES` classes, seen as the place of a bright bar and heard as the place of a loud mel band.
So a small model can learn from it, also within a movie. The class of clip number n is
`toy_class(n)`.
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.index import write_commit, write_index
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.writer import MovieWriter
from shards_spec.layout import clip_id
from shards_spec.order import stratified_order
from shards_spec.recipe import Recipe
from shards_spec.sample import FRAMES, LOGMEL, encode_logmel, encode_strip
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.storage.storage import Storage

NUM_CLASSES = 8


def toy_recipe(height: int = 32, width: int = 48, **changes: object) -> Recipe:
    """Clips of 4 frames and 0.8 s; `changes` are fields of `Recipe`."""
    values: dict[str, object] = {
        "num_frames": 4,
        "short_side": min(height, width),
        "sample_rate_hz": 4_000,
        "n_mels": 16,
        "mel_high_hz": 2_000.0,
        **changes,
    }
    return Recipe(**values)  # type: ignore[arg-type]


def write_toy_dataset(
    uri: str,
    *,
    num_movies: int = 3,
    clips_per_movie: int | Sequence[int] = 8,
    height: int = 32,
    width: int = 48,
    num_failed: int = 0,
    movies_per_group: int = 1,
    **recipe_changes: object,
) -> Dataset:
    """Write a dataset to `uri` (local, S3, ...) and open it.

    The files of equal datasets are made once per process, and copied into empty local folders.

    Args:
        uri: where; a local folder is made.
        num_movies: movies with clips: `movie-000`, `movie-001`, ...
        clips_per_movie: clips of every movie, or of each.
        height: of a frame; a multiple of 16.
        width: of a frame.
        num_failed: further movies, `broken-000`, ..., that the index lists as failed.
        movies_per_group: above 1, `group` is `show-<movie number // movies_per_group>`.
        **recipe_changes: such as `num_frames=8`, `shard_bytes=20_000` (several shards a movie).
    """
    recipe = toy_recipe(height, width, **recipe_changes)
    storage = Storage(uri, create=True)
    counts = [clips_per_movie] * num_movies if isinstance(clips_per_movie, int) else clips_per_movie
    toys = _Toys(recipe, (height, width), tuple(counts), num_failed, movies_per_group)
    if "://" in uri or any(Path(uri).iterdir()):
        toys.write(storage)
    else:
        for name, data in _files_of(toys).items():
            path = Path(uri, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return open_dataset(storage)


@dataclass(frozen=True)
class _Toys:
    """What a toy dataset contains."""

    recipe: Recipe
    size: tuple[int, int]
    """Height and width of a frame."""
    counts: tuple[int, ...]
    """Clips of each movie."""
    num_failed: int
    movies_per_group: int

    def write(self, storage: Storage) -> None:
        """Write the movies and the index."""
        for number, num_clips in enumerate(self.counts):
            movie_id = f"movie-{number:03d}"
            show = f"show-{number // self.movies_per_group}"
            group = show if self.movies_per_group > 1 else movie_id
            write_toy_movie(storage, self.recipe, movie_id, group, num_clips, *self.size)
        for number in range(self.num_failed):
            write_commit(storage, _failed_movie(self.recipe, f"broken-{number:03d}"), [])
        write_index(storage, self.recipe, "toy")


@lru_cache(maxsize=100)
def _files_of(toys: _Toys) -> dict[str, bytes]:
    """The files of a toy dataset by their paths below its folder."""
    with tempfile.TemporaryDirectory(prefix="reelshards-toys-") as folder:
        toys.write(Storage(folder))
        paths = (path for path in Path(folder).rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def write_toy_movie(
    storage: Storage,
    recipe: Recipe,
    movie_id: str,
    group: str,
    num_clips: int,
    height: int = 32,
    width: int = 48,
) -> None:
    """Write one movie's shards and its commit record; the index is not touched."""
    seed = zlib.crc32(movie_id.encode())
    with MovieWriter(storage, movie_id, recipe.shard_bytes) as writer:
        for clip_number in stratified_order(num_clips, seed):
            row = toy_row(recipe, movie_id, group, int(clip_number), height, width)
            writer.add(row, toy_members(recipe, row, seed))
    last_step = max(1, num_clips) * recipe.stride_frames + recipe.overlap_frames
    movie = MovieRow(
        movie_id=movie_id,
        group=group,
        source_uri=f"toy:{movie_id}",
        source_bytes=1,
        source_fingerprint="toy",
        recipe_fingerprint=recipe.fingerprint,
        status="done",
        duration_ns=recipe.grid_ns(last_step),
        num_clips=num_clips,
        num_shards=writer.num_shards,
        shard_bytes=writer.num_bytes,
        video_codec="toy",
        video_width=width,
        video_height=height,
    )
    write_commit(storage, movie, writer.rows)


def toy_class(clip_number: int) -> int:
    """The class of a clip, in [0, NUM_CLASSES); the same number means the same class anywhere."""
    return clip_number * 5 % NUM_CLASSES


def toy_row(
    recipe: Recipe, movie_id: str, group: str, clip_number: int, height: int, width: int
) -> ClipRow:
    """The row of a clip, without its location."""
    first_step = clip_number * recipe.stride_frames
    start_ns = recipe.grid_ns(first_step)
    return ClipRow(
        clip_id=clip_id(movie_id, clip_number),
        movie_id=movie_id,
        group=group,
        shard="",
        tar_offset=0,
        tar_bytes=0,
        crc32c=0,
        clip_number=clip_number,
        start_ns=start_ns,
        end_ns=recipe.grid_ns(first_step + recipe.num_frames),
        first_frame_pts_ns=start_ns,
        num_frames=recipe.num_frames,
        fps=recipe.fps,
        height=height,
        width=width,
        sample_rate_hz=recipe.sample_rate_hz,
        num_audio_samples=recipe.clip_samples,
        av_skew_ns=0,
        shot_id=clip_number // 2,
        num_cuts=0,
        luma_mean=100.0,
        luma_std=40.0,
        motion=2.0,
        audio_rms_dbfs=-20.0,
        audio_peak_dbfs=-3.0,
        filled_audio_ns=0,
    )


def toy_members(recipe: Recipe, row: ClipRow, seed: int) -> dict[str, bytes]:
    """The strip and the log-mel of a clip, deterministic in (recipe, row, seed)."""
    return {
        FRAMES: encode_strip(toy_frames(row, seed), recipe.jpeg_quality),
        LOGMEL: encode_logmel(toy_logmel(recipe, row, seed)),
    }


def toy_frames(row: ClipRow, seed: int) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: the movie's tint, and a bright bar whose column is the class."""
    tint = np.random.default_rng(seed).integers(20, 120, 3)
    frames = np.empty((row.num_frames, row.height, row.width, 3), dtype=np.uint8)
    frames[:] = tint
    label = toy_class(row.clip_number)
    left, right = (row.width * edge // NUM_CLASSES for edge in (label, label + 1))
    for number, frame in enumerate(frames):
        frame[:, left:right] = 200 + 10 * (number % 4)
    return frames


def toy_logmel(recipe: Recipe, row: ClipRow, seed: int) -> NDArray[np.float16]:
    """(n_mels, num_mel_frames) float16: the movie's hum, and a loud band that is the class."""
    rng = np.random.default_rng([seed, row.clip_number])
    logmel = rng.normal(-12.0, 0.5, (recipe.n_mels, recipe.num_mel_frames))
    logmel[seed % recipe.n_mels] += 4.0
    label = toy_class(row.clip_number)
    low = recipe.n_mels * label // NUM_CLASSES
    high = max(low + 1, recipe.n_mels * (label + 1) // NUM_CLASSES)
    logmel[low:high] += 8.0
    return logmel.astype(np.float16)


def _failed_movie(recipe: Recipe, movie_id: str) -> MovieRow:
    return MovieRow(
        movie_id=movie_id,
        group=movie_id,
        source_uri=f"toy:{movie_id}",
        source_bytes=1,
        source_fingerprint="toy",
        recipe_fingerprint=recipe.fingerprint,
        status="quarantined",
        error_class="UnreadableMediaError",
        error="moov atom not found",
        attempts=3,
    )


if __name__ == "__main__":
    # The worked example of shards_spec/SPEC.md.
    write_toy_dataset(sys.argv[1], num_movies=1, clips_per_movie=3)
