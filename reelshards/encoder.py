"""Embeddings from a trained run: of movies, of frames and waveforms, or of a dataset's clips."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelshards.packages import attribute
from shards_spec.dataset.reader import Dataset, open_dataset
from shards_spec.errors import InputError, ReelshardsError
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage

if TYPE_CHECKING:
    from pipeline.sources import Movie
    from trainer.models import TwoTowers
    from trainer.runs.evaluate import ClipEncoder

#: Columns of the clips table that tables of embeddings begin with.
_COLUMNS = ("clip_id", "movie_id", "start_ns", "end_ns")

#: Settings of a recipe that drops no clip for what it shows or sounds like.
_KEEP_ALL: dict[str, Any] = {"black_luma": -1.0, "silent_dbfs": -1000.0, "frozen_motion": -1.0}

#: Parts of a movie that are decoded concurrently, by default at most.
_MAX_THREADS = 8


@dataclass(frozen=True, repr=False)
class Encoder:
    """A video and an audio encoder with comparable embeddings: unit vectors of one size."""

    clips: ClipEncoder
    """The networks, for frames and log-mels in memory."""

    def __repr__(self) -> str:
        config = self.model.config
        return (
            f"Encoder(video={config.video!r}, audio={config.audio!r}, "
            f"embedding_size={self.embedding_size}, device={str(self.clips.device)!r})"
        )

    @property
    def recipe(self) -> Recipe:
        """How the clips were made that the encoders were trained on."""
        return self.clips.recipe

    @property
    def model(self) -> TwoTowers:
        """The networks, a `torch.nn.Module` in evaluation mode."""
        return self.clips.model

    @property
    def embedding_size(self) -> int:
        """D, numbers in an embedding."""
        return int(self.clips.model.config.embedding_size)

    def embed(
        self,
        *,
        frames: NDArray[np.uint8],
        waveform: NDArray[np.float32],
        sample_rate_hz: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed N clips: (video, audio), each (N, D) float32 with rows of unit length.

        Args:
            frames: (N, T, H, W, 3) uint8 RGB, T = `recipe.num_frames` frames, 1 / `recipe.fps`
                seconds apart. Other sizes than the training's are resized and cropped.
            waveform: (N, samples) float32 in [-1, 1], mono, of the same time range as the frames.
            sample_rate_hz: of `waveform`; other rates than `recipe.sample_rate_hz` are resampled.

        Raises:
            InputError: shapes, types or durations do not fit the recipe.
        """
        if len(frames) != len(waveform):
            raise InputError(f"{len(frames)} clips of frames, but {len(waveform)} of audio")
        return self.clips.embed(frames, self._logmel(waveform, sample_rate_hz))

    def embed_movie(
        self, movie: str | Path, *, every_clip: bool = False, num_threads: int | None = None
    ) -> pa.Table:
        """Embed a movie from start to end, decoded and cut as the training's clips were.

        The clips are made in a temporary folder, in this process. `embed_clips` yields the same
        embeddings for a dataset of this movie.

        Args:
            movie: a file, or its URI (s3://, gs://, az://, https://).
            every_clip: also embed clips that the recipe drops as black, silent or frozen.
            num_threads: parts of the movie that are decoded concurrently; by default one for each
                core, at most 8.

        Returns:
            A table in order of time with the columns start_ns and end_ns (on the movie's
            timeline, nanoseconds), and video and audio as lists of D float32.

        Raises:
            InputError: there is no such movie, or there are several.
            MovieError: it cannot be decoded, or has no usable clip.
        """
        (found,) = _movies_at(str(movie), "one movie")
        return self._embed_found(found, every_clip=every_clip, num_threads=num_threads)

    #: Another name of `embed_movie`.
    embed_film = embed_movie

    def embed_movies(
        self, corpus: str | Path, *, every_clip: bool = False, num_threads: int | None = None
    ) -> Iterator[tuple[str, pa.Table | ReelshardsError]]:
        """Embed each movie of a corpus: (URI, table of `embed_movie`, or why there is none)."""
        for movie in _movies_at(str(corpus)):
            table: pa.Table | ReelshardsError
            try:
                table = self._embed_found(movie, every_clip=every_clip, num_threads=num_threads)
            except attribute("pipeline.errors", "MovieError") as error:
                table = error
            yield movie.uri, table

    def _embed_found(self, movie: Movie, *, every_clip: bool, num_threads: int | None) -> pa.Table:
        recipe = dataclasses.replace(self.recipe, **_KEEP_ALL) if every_clip else self.recipe
        if num_threads is None:
            num_threads = min(_MAX_THREADS, os.cpu_count() or 1)
        with tempfile.TemporaryDirectory(prefix="reelshards-embed-") as folder:
            attribute("pipeline.movie.alone", "shard_movie")(
                movie, recipe, Storage(folder, create=True), num_threads=max(1, num_threads)
            )
            table = self.embed_clips(open_dataset(folder))
        return table.sort_by("start_ns").select(["start_ns", "end_ns", "video", "audio"])

    def embed_clips(self, dataset: Dataset, clip_ids: Sequence[str] | None = None) -> pa.Table:
        """Embed a dataset's clips, all of them by default.

        Returns:
            A table with the columns clip_id, movie_id, start_ns, end_ns, and video and audio as
            lists of D float32. Clips that cannot be read are left out.

        Raises:
            InputError: an unknown clip id, or a dataset with other clips than the training's.
        """
        rows = dataset.rows_of(clip_ids) if clip_ids is not None else range(dataset.clips.num_rows)
        kept: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        video: list[NDArray[np.float32]] = [np.zeros((0, self.embedding_size), np.float32)]
        audio = list(video)
        for part, video_ND, audio_ND in self.clips.embed_rows(dataset, rows):
            kept.append(part)
            video.append(video_ND)
            audio.append(audio_ND)
        table = dataset.clips.select(_COLUMNS).take(np.concatenate(kept))
        table = table.append_column("video", _lists(np.concatenate(video)))
        return table.append_column("audio", _lists(np.concatenate(audio)))

    def _logmel(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float16]:
        """(N, samples) -> (N, n_mels, num_mel_frames) float16, as the pipeline makes it."""
        if waveform.ndim != 2 or not np.issubdtype(waveform.dtype, np.floating):
            raise InputError(
                f"waveform is {waveform.shape} {waveform.dtype}, expected (N, samples) float32"
            )
        if sample_rate_hz < 1:
            raise InputError(f"{sample_rate_hz = }: at least 1 Hz")
        log_mel: Any = attribute("pipeline.audio.features", "log_mel")
        recipe = self.recipe
        logmel = np.empty((len(waveform), recipe.n_mels, recipe.num_mel_frames), dtype=np.float16)
        for number, samples in enumerate(waveform.astype(np.float32)):
            logmel[number] = log_mel(self._resampled(samples, sample_rate_hz), recipe)
        return logmel

    def _resampled(self, samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        """One clip's samples at the recipe's rate, exactly as many as a clip has."""
        recipe = self.recipe
        if rate_hz != recipe.sample_rate_hz:
            import soxr

            samples = soxr.resample(samples, rate_hz, recipe.sample_rate_hz)
        expected = recipe.clip_samples
        # Less than a spectrogram column more or less is rounding.
        if abs(len(samples) - expected) > recipe.hop_samples:
            raise InputError(
                f"a waveform is {len(samples) / recipe.sample_rate_hz:.3f} s long, clips are "
                f"{expected / recipe.sample_rate_hz:.3f} s"
            )
        return np.pad(samples[:expected], (0, max(0, expected - len(samples))))


def _movies_at(corpus: str, expected: str = "") -> list[Movie]:
    """The movies of a corpus. Raises `InputError` if there is none, or not the expected one."""
    movies: list[Movie] = attribute("pipeline.sources.corpus", "find_movies")(corpus)
    if expected and len(movies) != 1:
        raise InputError(f"{corpus} is {len(movies)} movies, expected {expected}")
    return movies


def load_encoder(
    folder: str | Path, *, best: bool = False, average: bool = False, device: str = ""
) -> Encoder:
    """The encoders of a run folder or an exported folder; see `reelshards.load`."""
    load = attribute("trainer.runs.evaluate", "load_encoder")
    return Encoder(load(folder, best=best, average=average, device=device))


def _lists(values_ND: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values_ND.ravel()), values_ND.shape[1])
