"""The same clips in the formats of four libraries: film strips, log-mels and their numbers.

`make` writes them once below a folder: `reelshards/` (which webdataset reads too), `litdata/` and
`mds/`. Frames are moving noise of many scales, whose JPEGs are about as large as those of movies. A
few images are reused: loaders do not look at them, but every clip's bytes are stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.index import write_commit, write_index
from shards_spec.dataset.writer import MovieWriter
from shards_spec.layout import clip_id
from shards_spec.recipe import Recipe
from shards_spec.sample import (
    FRAMES,
    LOGMEL,
    encode_logmel,
    encode_strip,
    join_strip,
    split_jpeg,
)
from shards_spec.schema import ClipRow, MovieRow
from shards_spec.storage import Storage

HEIGHT, WIDTH = 128, 224
NUM_PICTURES = 32
DONE = "sizes.json"


@dataclass(frozen=True)
class Sizes:
    """How many clips there are, and what each is."""

    num_movies: int = 40
    clips_per_movie: int = 100
    chunk_bytes: int = 16 * 1024 * 1024
    """Of one chunk of litData and mosaic; about the size of a movie's shard."""

    @property
    def num_clips(self) -> int:
        """Of all movies. Clip c of movie v has the number v * clips_per_movie + c."""
        return self.num_movies * self.clips_per_movie


def make(folder: Path, sizes: Sizes, libraries: list[str]) -> None:
    """Write what is missing. Raises `ValueError` when the folder holds other sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([sizes.num_movies, sizes.clips_per_movie])
    if (folder / DONE).exists() and (folder / DONE).read_text() != text:
        raise ValueError(f"{folder} holds other sizes than {text}; name another folder")
    writers = {"reelshards": _write_reelshards, "litdata": _write_litdata, "mosaic": _write_mds}
    for library, write in writers.items():
        if library in libraries and not (folder / f"{library}.done").exists():
            write(folder, sizes)
            (folder / f"{library}.done").touch()
    (folder / DONE).write_text(text)


def samples(sizes: Sizes) -> Iterator[tuple[bytes, bytes]]:
    """(film strip, log-mel) of each clip, in the order of their numbers."""
    recipe = Recipe()
    generator = np.random.default_rng(0)
    strips = [_strip(_picture(generator), recipe.jpeg_quality) for _ in range(NUM_PICTURES)]
    shape = (recipe.n_mels, recipe.num_mel_frames)
    for number in range(sizes.num_clips):
        logmel = np.full(shape, number % 100, dtype=np.float16)
        yield strips[number % NUM_PICTURES], encode_logmel(logmel)


def _strip(frames: NDArray[np.uint8], quality: int) -> bytes:
    """A film strip as the pipeline makes it: frames encoded one by one and joined."""
    coded = [split_jpeg(encode_strip(frame[None], quality)) for frame in frames]
    return join_strip(coded[0][0], [scan for _, scan in coded])


def _picture(generator: np.random.Generator) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: noise of octaves, the finer the weaker, that pans."""
    num_frames = Recipe().num_frames
    height, width = HEIGHT, WIDTH + 4 * num_frames
    total = np.zeros((height, width, 3))
    for octave in range(1, 6):
        step = 128 >> octave
        rough = generator.normal(0, 1, (height // step + 1, width // step + 2, 3))
        total += 60 / octave**2 * np.repeat(np.repeat(rough, step, 0), step, 1)[:height, :width]
    film = np.clip(total + 110, 0, 255).astype(np.uint8)
    return np.stack([film[:, 4 * at : 4 * at + WIDTH] for at in range(num_frames)])


def _write_reelshards(folder: Path, sizes: Sizes) -> None:
    storage, recipe = Storage(str(folder / "reelshards"), create=True), Recipe()
    found = samples(sizes)
    for number in range(sizes.num_movies):
        movie_id = f"movie-{number:04d}"
        with MovieWriter(storage, movie_id, recipe.shard_bytes) as writer:
            for clip_number in range(sizes.clips_per_movie):
                strip, logmel = next(found)
                row = _row(recipe, movie_id, clip_number)
                writer.add(row, {FRAMES: strip, LOGMEL: logmel})
        movie = MovieRow(
            movie_id=movie_id,
            group=movie_id,
            source_uri=f"noise:{number}",
            source_bytes=1,
            source_fingerprint="noise",
            recipe_fingerprint=recipe.fingerprint,
            status="done",
            duration_ns=recipe.grid_ns((sizes.clips_per_movie + 1) * recipe.stride_frames),
            num_clips=sizes.clips_per_movie,
            num_shards=writer.num_shards,
            shard_bytes=writer.num_bytes,
            video_codec="noise",
            video_width=WIDTH,
            video_height=HEIGHT,
        )
        write_commit(storage, movie, writer.rows)
    write_index(storage, recipe, "noise")


def _row(recipe: Recipe, movie_id: str, clip_number: int) -> ClipRow:
    first = clip_number * recipe.stride_frames
    start_ns = recipe.grid_ns(first)
    return ClipRow(
        clip_id=clip_id(movie_id, clip_number),
        movie_id=movie_id,
        group=movie_id,
        **{"shard": "", "tar_offset": 0, "tar_bytes": 0, "crc32c": 0},
        clip_number=clip_number,
        start_ns=start_ns,
        end_ns=recipe.grid_ns(first + recipe.num_frames),
        first_frame_pts_ns=start_ns,
        num_frames=recipe.num_frames,
        fps=recipe.fps,
        height=HEIGHT,
        width=WIDTH,
        sample_rate_hz=recipe.sample_rate_hz,
        num_audio_samples=recipe.clip_samples,
        **{"av_skew_ns": 0, "shot_id": 0, "num_cuts": 0},
        **{"luma_mean": 100.0, "luma_std": 40.0, "motion": 2.0},
        **{"audio_rms_dbfs": -20.0, "audio_peak_dbfs": -3.0, "filled_audio_ns": 0},
    )


def _write_litdata(folder: Path, sizes: Sizes) -> None:
    from litdata.streaming.writer import BinaryWriter

    path = folder / "litdata"
    path.mkdir(exist_ok=True)
    writer = BinaryWriter(str(path), chunk_bytes=sizes.chunk_bytes)
    for number, (strip, logmel) in enumerate(samples(sizes)):
        writer[number] = {"clip": number, "strip": strip, "logmel": logmel}
    writer.done()
    writer.merge(1)


def _write_mds(folder: Path, sizes: Sizes) -> None:
    from streaming import MDSWriter

    columns = {"clip": "int", "strip": "bytes", "logmel": "bytes"}
    path = str(folder / "mosaic")
    with MDSWriter(out=path, columns=columns, size_limit=sizes.chunk_bytes) as writer:
        for number, (strip, logmel) in enumerate(samples(sizes)):
            writer.write({"clip": number, "strip": strip, "logmel": logmel})
