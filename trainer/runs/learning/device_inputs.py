"""From a batch on the host to the model's inputs on the device."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass

import torch

from trainer.config import TrainConfig
from trainer.data.stream import Batch
from trainer.models.inputs import (
    VIDEO_MEAN,
    VIDEO_STD,
    audio_from_logmel,
    constant,
    video_from_frames,
)
from trainer.runs.learning.augment import (
    Dice,
    augment_audio,
    augment_video,
    changes_colors,
    color_map,
    flipped,
)
from trainer.runs.learning.window import windows

#: Pixels of one program of the kernel.
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the model is trained on."""

    video: torch.Tensor
    """(B, 3, T, H, W), augmented: float32 in [0, 1], or normalized where `is_normalized`."""
    audio: torch.Tensor
    """(B, 1, M, L) float32, nats, augmented."""
    is_normalized: bool
    """Whether `video` is normalized already, as the video tower takes it."""
    key: torch.Tensor | None = None
    """(B,) int64, a hash per clip, from which networks draw; None for networks without draws."""


def device_inputs(
    batch: Batch, config: TrainConfig, device: torch.device, *, augment: bool, view: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Video (B, 3, T, H, W) in [0, 1] and log-mel (B, 1, M, L) in nats, both float32."""
    # Copies from pinned memory overlap with the previous step on the GPU.
    frames_BTHWC = batch.frames.to(device, non_blocking=True)
    logmel_BML = batch.logmel.to(device, non_blocking=True)
    dice = _dice(batch, config, device, view)
    if augment:
        frames_BTHWC, logmel_BML = windows(frames_BTHWC, logmel_BML, dice, config)
    video_BCTHW = video_from_frames(frames_BTHWC, config.model.inputs)
    audio_BCML = audio_from_logmel(logmel_BML)
    if not augment:
        return video_BCTHW, audio_BCML
    return (
        augment_video(video_BCTHW, dice, config.augment),
        augment_audio(audio_BCML, dice, config.augment),
    )


def training_inputs(batch: Batch, config: TrainConfig, device: torch.device) -> Inputs:
    """The augmented inputs of a batch; on a GPU the video takes one pass over its bytes.

    Where the loss compares two views of each clip, the second ones follow the first.
    """
    views = [_view(batch, config, device, view) for view in range(config.loss.num_views)]
    key_B = None
    if config.model.draws:
        dice = (_dice(batch, config, device, view) for view in range(len(views)))
        key_B = torch.cat([die.key() for die in dice])
    if len(views) == 1:
        return dataclasses.replace(views[0], key=key_B)
    return Inputs(
        torch.cat([view.video for view in views]),
        torch.cat([view.audio for view in views]),
        views[0].is_normalized,
        key_B,
    )


def _view(batch: Batch, config: TrainConfig, device: torch.device, view: int) -> Inputs:
    if not makes_in_one_pass(batch.frames, config, device):
        inputs = device_inputs(batch, config, device, augment=True, view=view)
        return Inputs(*inputs, is_normalized=False)
    frames_BTHWC = batch.frames.to(device, non_blocking=True)
    logmel_BML = batch.logmel.to(device, non_blocking=True)
    dice = _dice(batch, config, device, view)
    frames_BTHWC, logmel_BML = windows(frames_BTHWC, logmel_BML, dice, config)
    dtype = torch.bfloat16 if uses_bf16(device, config.precision) else torch.float32
    video_BTHWC = torch.empty(frames_BTHWC.shape, dtype=dtype, device=device)
    from trainer.runs.learning.pixel_kernel import pixels

    num_clips, num_frames, height, width, _ = frames_BTHWC.shape
    num_pixels = num_frames * height * width
    pixels[(-(-num_pixels // _BLOCK), num_clips)](
        *(frames_BTHWC, _flips(dice, config), _map_of_bytes(frames_BTHWC, dice, config)),
        *(video_BTHWC, width, num_pixels),
        BLOCK=_BLOCK,
    )
    audio_BCML = audio_from_logmel(logmel_BML)
    return Inputs(
        video_BTHWC.permute(0, 4, 1, 2, 3),
        augment_audio(audio_BCML, dice, config.augment),
        is_normalized=True,
    )


def _dice(batch: Batch, config: TrainConfig, device: torch.device, view: int) -> Dice:
    return Dice(config.seed, batch.epoch, batch.clip.to(device, non_blocking=True), view)


def makes_in_one_pass(
    frames_BTHWC: torch.Tensor, config: TrainConfig, device: torch.device
) -> bool:
    """Whether all stored frames are used at their own size, on a device with kernels."""
    num_frames, size = frames_BTHWC.shape[1:3]
    inputs = config.model.inputs
    return (
        device.type == "cuda"
        and importlib.util.find_spec("triton") is not None
        and inputs.frame_size in (0, size)
        and (not inputs.num_frames or inputs.num_frames >= num_frames)
        and config.augment.crop_area == 1.0
    )


def _flips(dice: Dice, config: TrainConfig) -> torch.Tensor:
    """(B,) int32: 1 where a clip is mirrored."""
    return (flipped(dice) & config.augment.flip).int()


def _map_of_bytes(frames_BTHWC: torch.Tensor, dice: Dice, config: TrainConfig) -> torch.Tensor:
    """(B, 3, 6) float32: color map of bytes (3 factors and a shift), then scale and shift that
    normalize."""
    device = frames_BTHWC.device
    if changes_colors(config.augment):
        means_BC = frames_BTHWC.flatten(1, 3).mean(dim=1, dtype=torch.float32) / 255.0
        map_BC4 = color_map(means_BC, dice, config.augment)
    else:
        map_BC4 = constant([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], device)
        map_BC4 = map_BC4.expand(len(frames_BTHWC), -1, -1)
    std_C = constant(VIDEO_STD, device)
    norm_C2 = torch.stack((1.0 / std_C, -constant(VIDEO_MEAN, device) / std_C), dim=1)
    norm_BC2 = norm_C2.expand(len(frames_BTHWC), -1, -1)
    bytes_BC4 = map_BC4 * constant([1 / 255.0, 1 / 255.0, 1 / 255.0, 1.0], device)
    return torch.cat((bytes_BC4, norm_BC2), dim=2).contiguous()


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 for the towers if requested, or, with `auto`, on GPUs that support it."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=uses_bf16(device, precision))


def uses_bf16(device: torch.device, precision: str) -> bool:
    """Whether the towers compute in bfloat16."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return precision == "bf16" or (precision == "auto" and has_bf16)
