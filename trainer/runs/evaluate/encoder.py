"""Encoders for use outside of training: of a run's newest checkpoint, or of an exported folder.

Shape suffixes: N clips, T frames, H x W pixels, C channels, M mel bands, L mel frames,
D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from trainer.data.loader import StreamConfig
from trainer.data.stream import read_all
from trainer.models import TwoTowers
from trainer.models.inputs import audio_from_logmel, video_from_frames
from trainer.ranks.world import default_device
from trainer.runs.bucket import is_bucket, local_copy, local_path
from trainer.runs.evaluate.export.exported import is_export, read_export
from trainer.runs.folder import load_run
from trainer.runs.learning.device_inputs import autocast

#: Clips that go through the networks together.
_BATCH_CLIPS = 32


@dataclass(frozen=True)
class ClipEncoder:
    """Two encoders whose embeddings are comparable, and what their inputs have to look like."""

    model: TwoTowers
    """In evaluation mode, on `device`."""
    recipe: Recipe
    """How the clips were made that the encoders were trained on."""
    crop_pixels: int
    """Side of the square that is cut from the middle of each frame."""
    device: torch.device
    precision: str = "auto"
    """Of the towers, as in training and evaluation: `auto`, `fp32` or `bf16`."""

    def embed(
        self, frames_NTHWC: NDArray[np.uint8], logmel_NML: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed N clips: (video, audio), each (N, D) float32 with rows of unit length.

        Args:
            frames_NTHWC: (N, T, H, W, 3) uint8 RGB. Frames whose shorter side is not
                `recipe.short_side` are resized, unless they are squares of `crop_pixels`.
            logmel_NML: (N, M, L) natural log of mel power, as stored in shards.

        Raises:
            InputError: another shape or type, or another number of frames, bands or columns.
        """
        self._require_shapes(frames_NTHWC, logmel_NML)
        empty = np.zeros((0, self.model.config.embedding_size), np.float32)
        video, audio = [empty], [empty]
        with torch.inference_mode():
            for first in range(0, len(frames_NTHWC), _BATCH_CLIPS):
                part = slice(first, first + _BATCH_CLIPS)
                frames_BTHWC = self.square(torch.tensor(frames_NTHWC[part]).to(self.device))
                logmel_BML = torch.tensor(logmel_NML[part]).to(self.device)
                with autocast(self.device, self.precision):
                    embedded = self.model(
                        video_from_frames(frames_BTHWC, self.model.config.inputs),
                        audio_from_logmel(logmel_BML),
                    )
                video.append(embedded.video.cpu().numpy())
                audio.append(embedded.audio.cpu().numpy())
        return np.concatenate(video), np.concatenate(audio)

    def embed_rows(
        self, dataset: Dataset, rows: Sequence[int]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]:
        """Rows of a dataset's clips table -> (rows, video embeddings, audio embeddings), in parts.

        Clips that cannot be read are left out. Raises `InputError` when the dataset's recipe makes
        clips of another length or shape than those that the encoders were trained on.
        """
        self._require_same_clips(dataset.recipe)
        config = StreamConfig(frame_size=self.crop_pixels)
        for batch in read_all(dataset, rows, config, _BATCH_CLIPS):
            embedded = self.embed(batch.frames.numpy(), batch.logmel.numpy())
            yield batch.clip.numpy(), *embedded

    def _require_same_clips(self, recipe: Recipe) -> None:
        names = ("num_frames", "fps", "sample_rate_hz", "n_mels", "hop_ms", "window_ms")
        differing = [
            f"{name} {getattr(recipe, name)} instead of {getattr(self.recipe, name)}"
            for name in (*names, "mel_low_hz", "mel_high_hz")
            if getattr(recipe, name) != getattr(self.recipe, name)
        ]
        if differing:
            raise InputError(
                f"the dataset's clips differ from those of the training: {', '.join(differing)}"
            )

    def _require_shapes(
        self, frames_NTHWC: NDArray[np.uint8], logmel_NML: NDArray[np.floating[Any]]
    ) -> None:
        shape, recipe = frames_NTHWC.shape, self.recipe
        is_video = frames_NTHWC.dtype == np.uint8 and len(shape) == 5 and shape[4] == 3
        if not is_video or shape[1] != recipe.num_frames or min(shape[2:4]) < 1:
            raise InputError(
                f"frames are {shape} {frames_NTHWC.dtype}, "
                f"expected (N, {recipe.num_frames}, height, width, 3) uint8"
            )
        expected = (len(frames_NTHWC), recipe.n_mels, recipe.num_mel_frames)
        if logmel_NML.shape != expected:
            raise InputError(f"log-mel is {logmel_NML.shape}, expected {expected}")

    def square(self, frames_BTHWC: torch.Tensor) -> torch.Tensor:
        """Frames of any size as the stream delivers them for evaluation."""
        height, width = frames_BTHWC.shape[2:4]
        short, crop = min(height, width), self.crop_pixels
        if short != self.recipe.short_side and not height == width == crop:
            scale = self.recipe.short_side / short
            size = (max(crop, round(height * scale)), max(crop, round(width * scale)))
            pixels_NCHW = frames_BTHWC.flatten(0, 1).permute(0, 3, 1, 2).float()
            pixels_NCHW = functional.interpolate(
                pixels_NCHW, size=size, mode="bilinear", antialias=True
            )
            pixels_NHWC = pixels_NCHW.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8)
            frames_BTHWC = pixels_NHWC.reshape(*frames_BTHWC.shape[:2], *size, 3)
            height, width = size
        top, left = (height - crop) // 2, (width - crop) // 2
        return frames_BTHWC[:, :, top : top + crop, left : left + crop].contiguous()


def load_encoder(
    folder: str | Path, *, best: bool = False, average: bool = False, device: str = ""
) -> ClipEncoder:
    """The encoders in a run folder or an exported folder.

    Args:
        best: of a run, the weights whose evaluation was best instead of the newest.
        average: of a run, the moving average of the weights.
        device: such as `cpu` or `cuda:1`; by default this process's GPU if it has one.

    Raises `InputError` when the folder holds neither, or a run without a checkpoint.
    """
    if is_bucket(folder):
        with local_copy(folder) as copy:
            return load_encoder(copy, best=best, average=average, device=device)
    folder, target = local_path(folder), _device(device)
    if not is_export(folder):
        trained = load_run(folder, best=best, average=average)
        crop_pixels, precision = trained.config.stream.frame_size, trained.config.precision
        return _encoder(trained.model, trained.recipe, crop_pixels, precision, target)
    exported = read_export(folder)
    return _encoder(
        exported.model, exported.recipe, exported.crop_pixels, exported.precision, target
    )


def _device(name: str) -> torch.device:
    if not name:
        return default_device()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"device {name!r} cannot be used: {reason}") from error


def _encoder(
    model: TwoTowers, recipe: Recipe, crop_pixels: int, precision: str, device: torch.device
) -> ClipEncoder:
    return ClipEncoder(model.to(device).eval(), recipe, crop_pixels, device, precision)
