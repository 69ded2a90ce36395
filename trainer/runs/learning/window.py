"""Random windows of stored clips: temporal jitter, with video and audio cut at the same time.

    stored frames   0 1 2 3 4 5 6 7 8 9 10 11      T = 12 frames, of which U = 6 are used
    used            0   2   4   6   8   10
    a window            3   5   7                  share 1/2: w = 3 frames from start 3, same step

The step between frames is that of whole clips, which evaluation uses. Each view of a clip has its
own window. Shape suffixes: B clips, T frames, H x W pixels, C channels, M mel bands, L mel frames.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from shards_spec.recipe import NANOSECONDS
from trainer.config import TrainConfig
from trainer.data.stream import Batch, ClipStream
from trainer.runs.learning.augment import Dice, Draw
from trainer.settings.checks import require


@dataclass(frozen=True)
class WindowSize:
    """Sizes of the window of a clip; all clips of a run have the same."""

    offsets: tuple[int, ...]
    """Stored frames of the window, from its start."""
    num_starts: int
    """Frames at which a window can start: 0 ... num_starts - 1."""
    num_mel_frames: int

    @staticmethod
    def of(config: TrainConfig, num_frames: int, num_mel_frames: int) -> WindowSize:
        """The window that `config` asks for, of clips with so many stored frames and mel frames."""
        num_used = min(config.model.inputs.num_frames, num_frames) or num_frames
        return WindowSize.of_share(config.augment.window, num_used, num_frames, num_mel_frames)

    @staticmethod
    def of_share(share: float, num_used: int, num_frames: int, num_mel_frames: int) -> WindowSize:
        """The window that is this share of clips of whose frames `num_used` are used."""
        num_kept = max(1, round(share * num_used))
        offsets = tuple(number * num_frames // num_used for number in range(num_kept))
        span = num_kept * num_frames // num_used
        num_mel_kept = max(1, round(num_mel_frames * span / num_frames))
        return WindowSize(offsets, num_frames - offsets[-1], num_mel_kept)

    def starts(self, dice: Dice) -> torch.Tensor:
        """(B,) int64: the frame at which each clip's window starts."""
        return (dice.uniform(Draw.WINDOW) * self.num_starts).long()


class WindowedStream(ClipStream):
    """A stream whose clips are random windows of the stored ones, as in training."""

    def __init__(self, *arguments: Any, window: float, **settings: Any) -> None:
        """As `ClipStream`; `window` is the share of each clip that is used, (0, 1]."""
        require(0 < window <= 1, f"window = {window:g}: must be above 0 and at most 1")
        super().__init__(*arguments, **settings)
        self._window = window

    def __next__(self) -> Batch:
        batch, recipe = super().__next__(), self.dataset.recipe
        num_frames, num_mel_frames = batch.frames.shape[1], batch.logmel.shape[2]
        size = WindowSize.of_share(self._window, num_frames, num_frames, num_mel_frames)
        start_B = size.starts(Dice(self.state().seed, batch.epoch, batch.clip))
        frames, logmel = _cut(batch.frames, batch.logmel, start_B, size)
        seconds_B = start_B.double() / recipe.fps
        start_ns = batch.start_ns + (seconds_B * NANOSECONDS).round().long()
        return dataclasses.replace(
            batch, frames=frames, logmel=logmel.contiguous(), start_ns=start_ns
        )


def windows(
    frames_BTHWC: torch.Tensor, logmel_BML: torch.Tensor, dice: Dice, config: TrainConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """A window of each clip: its frames and the mel frames of the same time."""
    if config.augment.window == 1:
        return frames_BTHWC, logmel_BML
    size = WindowSize.of(config, frames_BTHWC.shape[1], logmel_BML.shape[2])
    return _cut(frames_BTHWC, logmel_BML, size.starts(dice), size)


def _cut(
    frames_BTHWC: torch.Tensor, logmel_BML: torch.Tensor, start_B: torch.Tensor, size: WindowSize
) -> tuple[torch.Tensor, torch.Tensor]:
    num_frames, num_mel_frames = frames_BTHWC.shape[1], logmel_BML.shape[2]
    rows_B1 = torch.arange(len(start_B), device=start_B.device)[:, None]
    offsets = torch.tensor(size.offsets).to(start_B.device, non_blocking=True)
    mel_start_B = (start_B * num_mel_frames // num_frames).clamp(
        max=num_mel_frames - size.num_mel_frames
    )
    columns = torch.arange(size.num_mel_frames, device=start_B.device)
    mel_columns_BL = mel_start_B[:, None] + columns
    # Advanced indices are moved to the front: (B, L, M).
    mels_BLM = logmel_BML.transpose(1, 2)[rows_B1, mel_columns_BL]
    return frames_BTHWC[rows_B1, start_B[:, None] + offsets], mels_BLM.transpose(1, 2)
