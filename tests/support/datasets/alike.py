"""Datasets of movies that share content, made without ffmpeg: copies, trailers, openings, logos.

A movie is a list of pieces of *programs*: what a program shows and plays at a time is a function of
its number and that time, so two movies with the same piece of a program are near-duplicates there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from shards_spec.dataset.index import write_commit, write_index
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.dataset.writer import MovieWriter
from shards_spec.recipe import NANOSECONDS, Recipe
from shards_spec.sample import FRAMES, LOGMEL, encode_logmel, encode_strip
from shards_spec.schema import MovieRow
from shards_spec.storage import Storage
from tests.support.datasets.toy_dataset import toy_recipe, toy_row

HEIGHT, WIDTH = 32, 48

#: Number of a program that shows black and plays nothing.
BLACK = -1

#: Seconds of a shot of a program.
_SHOT_SECONDS = 2.3


@dataclass(frozen=True)
class Piece:
    """A piece of a program in a movie."""

    program: int
    seconds: float
    start: float = 0.0
    """Second of the program at which the piece starts."""
    speed: float = 1.0
    """Seconds of the program in a second of the movie."""
    gain: float = 1.0
    """Contrast of the video; the audio gets louder by as many nats as this is above 1."""
    bars: int = 0
    """Height of the bars above and below, pixels."""
    is_still: bool = False
    """One frame and a constant tone, as in a logo or a title."""
    other_audio: int = 0
    """Program that the audio is of; 0 for the same."""


def write_alike(uri: str, movies: Mapping[str, Sequence[Piece]]) -> Dataset:
    """Write movies of these pieces and open the dataset; each movie is its own group."""
    recipe = toy_recipe(HEIGHT, WIDTH, num_frames=16)
    storage = Storage(uri, create=True)
    for movie_id, pieces in movies.items():
        write_movie(storage, recipe, movie_id, pieces)
    write_index(storage, recipe, "toy")
    return open_dataset(storage)


def write_movie(storage: Storage, recipe: Recipe, movie_id: str, pieces: Sequence[Piece]) -> None:
    """Write one movie's shard and commit record; the index is not touched."""
    seconds = sum(piece.seconds for piece in pieces)
    num_clips = int(seconds * recipe.fps) // recipe.num_frames
    with MovieWriter(storage, movie_id, recipe.shard_bytes) as writer:
        for number in range(num_clips):
            row = toy_row(recipe, movie_id, movie_id, number, HEIGHT, WIDTH)
            start = row.start_ns / NANOSECONDS
            times = start + np.arange(recipe.num_frames) / recipe.fps
            columns = start + np.arange(recipe.num_mel_frames) * recipe.hop_ms / 1000
            members = {
                FRAMES: encode_strip(np.stack([_frame(pieces, time) for time in times]), 90),
                LOGMEL: encode_logmel(_audio(pieces, columns, recipe.n_mels)),
            }
            writer.add(row, members)
    write_commit(
        storage,
        MovieRow(
            movie_id=movie_id,
            group=movie_id,
            source_uri=f"toy:{movie_id}",
            source_bytes=1,
            source_fingerprint=f"toy {movie_id}",
            recipe_fingerprint=recipe.fingerprint,
            status="done",
            duration_ns=round(seconds * NANOSECONDS),
            num_clips=num_clips,
            num_shards=writer.num_shards,
            shard_bytes=writer.num_bytes,
        ),
        writer.rows,
    )


def _at(pieces: Sequence[Piece], time: float) -> tuple[Piece, float]:
    """The piece of a movie at a time, and the time of its program."""
    for piece in pieces:
        if time < piece.seconds or piece is pieces[-1]:
            return piece, piece.start + (0.0 if piece.is_still else time * piece.speed)
        time -= piece.seconds
    raise AssertionError("a movie has a piece")


def _frame(pieces: Sequence[Piece], time: float) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3): soft shapes that differ from shot to shot and drift within it."""
    piece, at = _at(pieces, time)
    image = np.full((HEIGHT, WIDTH), 16.0)
    if piece.program != BLACK:
        height = HEIGHT - 2 * piece.bars
        across, drift = _shot(piece.program, int(at / _SHOT_SECONDS), height)
        shapes = np.cos(across + (drift * at)[:, None, None]).sum(axis=0)
        image[piece.bars : HEIGHT - piece.bars] = 128 + 18 * piece.gain * shapes
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


@cache
def _shot(
    program: int, number: int, height: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(8, height, WIDTH) phases of the waves that a shot consists of, and their (8,) drift."""
    generator = np.random.default_rng([program, number])
    y, x = np.mgrid[0 : 1 : 1j * height, 0 : 1 : 1j * WIDTH]
    vertical, horizontal = generator.uniform(-3.0, 3.0, (2, 8, 1, 1))
    phase = generator.uniform(0.0, 6.3, (8, 1, 1))
    across = 6.28 * (vertical * y + horizontal * x) + phase
    return across, generator.uniform(-0.4, 0.4, 8)


def _audio(
    pieces: Sequence[Piece], times: NDArray[np.float64], num_bands: int
) -> NDArray[np.float16]:
    """(num_bands, len(times)): bands that rise and fall within about a second."""
    logmel = np.full((num_bands, len(times)), -23.0)
    for number, time in enumerate(times.tolist()):
        piece, at = _at(pieces, time)
        program = piece.other_audio or piece.program
        if program != BLACK:
            knot, between = int(at / 0.4), at / 0.4 % 1.0
            before, after = (_knot(program, step, num_bands) for step in (knot, knot + 1))
            logmel[:, number] = before * (1 - between) + after * between + piece.gain - 1.0
    return logmel.astype(np.float16)


@cache
def _knot(program: int, number: int, num_bands: int) -> NDArray[np.float64]:
    return np.random.default_rng([program, number]).normal(-8.0, 3.0, num_bands)
