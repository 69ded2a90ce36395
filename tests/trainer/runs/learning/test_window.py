"""Windows of clips: frames and audio of one time, functions of (seed, epoch, clip, view)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.config import TrainConfig
from trainer.data.stream import Batch
from trainer.runs.checkpoints.checkpoint import newest_checkpoint
from trainer.runs.learning.augment import Dice
from trainer.runs.learning.device_inputs import training_inputs
from trainer.runs.learning.window import WindowSize, windows
from trainer.settings import AugmentConfig, LossConfig
from trainer.settings.model import InputConfig, ModelConfig
from trainer.train import train

NUM_FRAMES, NUM_MEL = 12, 36


def config(window: float, num_frames: int = 0, **changes: object) -> TrainConfig:
    return TrainConfig(
        augment=AugmentConfig(window=window, flip=False, mel_mask=0.0, time_mask=0.0, gain_db=0.0),
        model=ModelConfig(inputs=InputConfig(frame_size=0, num_frames=num_frames)),
        **changes,  # type: ignore[arg-type]
    )


def ramps(num_clips: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames whose pixels are their number, mel frames whose values are theirs."""
    frames = torch.arange(NUM_FRAMES, dtype=torch.uint8)[None, :, None, None, None]
    mels = torch.arange(NUM_MEL, dtype=torch.float16)[None, None]
    return frames.expand(num_clips, -1, 4, 4, 3), mels.expand(num_clips, 5, -1)


@pytest.mark.parametrize(
    ("window", "num_frames", "offsets", "num_starts", "num_mel"),
    [
        (1.0, 0, tuple(range(12)), 1, 36),
        (0.5, 0, (0, 1, 2, 3, 4, 5), 7, 18),
        (0.5, 6, (0, 2, 4), 8, 18),
        (0.5, 100, (0, 1, 2, 3, 4, 5), 7, 18),
        (0.01, 6, (0,), 12, 6),
        (0.75, 5, (0, 2, 4, 7), 5, 27),
    ],
)
def test_sizes(
    window: float, num_frames: int, offsets: tuple[int, ...], num_starts: int, num_mel: int
) -> None:
    size = WindowSize.of(config(window, num_frames), NUM_FRAMES, NUM_MEL)
    assert (size.offsets, size.num_starts, size.num_mel_frames) == (offsets, num_starts, num_mel)


@pytest.mark.parametrize(("window", "num_frames"), [(0.5, 0), (0.5, 6), (0.3, 4), (0.75, 5)])
def test_frames_and_audio_are_of_one_time(window: float, num_frames: int) -> None:
    settings = config(window, num_frames)
    size = WindowSize.of(settings, NUM_FRAMES, NUM_MEL)
    frames, mels = windows(*ramps(200), Dice(0, 0, torch.arange(200)), settings)
    seen = frames[:, :, 0, 0, 0].long()
    start = seen[:, :1]
    assert torch.equal(seen - start, torch.tensor(size.offsets).expand(200, -1))
    assert start.unique().tolist() == list(range(size.num_starts))
    heard = mels[:, 0].long()
    assert torch.equal(heard - heard[:, :1], torch.arange(size.num_mel_frames).expand(200, -1))
    # 3 mel frames a frame; the last windows may begin up to one used frame early.
    apart = heard[:, :1] - 3 * start
    assert int(apart.max()) <= 0
    assert int(apart.min()) >= -3 * -(-NUM_FRAMES // (num_frames or NUM_FRAMES))


def test_a_window_depends_on_clip_epoch_and_view_only() -> None:
    settings, clip = config(0.5), torch.arange(50)
    frames, mels = ramps(50)

    def starts(epoch: int, view: int, rows: slice = slice(None)) -> torch.Tensor:
        cut, _ = windows(frames[rows], mels[rows], Dice(0, epoch, clip[rows], view), settings)
        return cut[:, 0, 0, 0, 0]

    whole = starts(0, 0)
    assert torch.equal(starts(0, 0, slice(20, None)), whole[20:])
    assert not torch.equal(starts(1, 0), whole)
    assert not torch.equal(starts(0, 1), whole)


def test_two_views_have_their_own_windows() -> None:
    frames, mels = ramps(8)
    number = torch.arange(8)
    batch = Batch(
        frames.contiguous(), mels.contiguous(), *(number for _ in range(5)), epoch=0, step=0
    )
    settings = config(0.5, loss=LossConfig(within_modal=1.0))
    inputs = training_inputs(batch, settings, torch.device("cpu"))
    assert inputs.video.shape == (16, 3, 6, 4, 4)
    assert inputs.audio.shape == (16, 1, 5, 18)
    assert not torch.equal(inputs.audio[:8], inputs.audio[8:])
    one = training_inputs(batch, config(0.5), torch.device("cpu"))
    assert torch.equal(inputs.video[:8], one.video)


@pytest.mark.parametrize("window", [0.0, -0.5, 1.5, float("nan")])
def test_impossible_windows_are_rejected(window: float) -> None:
    with pytest.raises(InputError, match=r"augment\.window"):
        AugmentConfig(window=window)


@pytest.mark.slow
def test_a_run_with_windows_resumes_exactly(
    toy_data: Dataset, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    augment = dataclasses.replace(tiny_config.augment, window=0.5)
    changed = dataclasses.replace(
        tiny_config, augment=augment, loss=LossConfig(within_modal=0.5), steps=4
    )
    uri = toy_data.storage.uri
    train(uri, tmp_path / "straight", changed)
    train(uri, tmp_path / "resumed", dataclasses.replace(changed, stop_at_step=2))
    train(uri, tmp_path / "resumed", changed)
    straight, resumed = (newest_checkpoint(tmp_path / run) for run in ("straight", "resumed"))
    assert straight is not None
    assert resumed is not None
    assert all(torch.equal(v, resumed.model[name]) for name, v in straight.model.items())
