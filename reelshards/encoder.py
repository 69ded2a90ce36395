"""Embeddings from a trained run: of frames and waveforms in memory, or of a dataset's clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reelshards.packages import attribute
from shards_spec.errors import InputError
from shards_spec.reader import Dataset
from shards_spec.recipe import Recipe

if TYPE_CHECKING:
    from trainer.evaluate import ClipEncoder

#: Columns of the clips table that tables of embeddings begin with.
_COLUMNS = ("clip_id", "movie_id", "start_ns", "end_ns")


@dataclass(frozen=True)
class Encoder:
    """A video and an audio encoder with comparable embeddings: unit vectors of one size."""

    clips: ClipEncoder
    """The networks, for frames and log-mels in memory."""

    @property
    def recipe(self) -> Recipe:
        """How the clips were made that the encoders were trained on."""
        return self.clips.recipe

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
        log_mel: Any = attribute("pipeline.audio", "log_mel")
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


def load_encoder(folder: Path) -> Encoder:
    """The encoders of a run folder or an exported folder. Raises `InputError`."""
    return Encoder(attribute("trainer.evaluate", "load_encoder")(folder))


def _lists(values_ND: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values_ND.ravel()), values_ND.shape[1])
