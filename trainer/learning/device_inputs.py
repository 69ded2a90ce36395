"""From a batch on the host to what the model eats on the device."""

from __future__ import annotations

import torch

from trainer.config import TrainConfig
from trainer.learning.augment import Dice, augment_audio, augment_video
from trainer.models import audio_from_logmel, video_from_frames
from trainer.stream import Batch


def device_inputs(
    batch: Batch, config: TrainConfig, device: torch.device, *, augment: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Video (B, 3, T, H, W) in [0, 1] and log-mel (B, 1, M, L) in nats, both float32."""
    # The copies go on while the GPU still works on the step before; pinned memory allows that.
    frames_BTHWC = batch.frames.to(device, non_blocking=True)
    logmel_BML = batch.logmel.to(device, non_blocking=True)
    video_BCTHW = video_from_frames(frames_BTHWC, config.model.inputs)
    audio_BCML = audio_from_logmel(logmel_BML)
    if not augment:
        return video_BCTHW, audio_BCML
    dice = Dice(config.seed, batch.epoch, batch.clip.to(device, non_blocking=True))
    return (
        augment_video(video_BCTHW, dice, config.augment),
        augment_audio(audio_BCML, dice, config.augment),
    )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 for the towers where asked for, or, with `auto`, on GPUs that have it."""
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    enabled = precision == "bf16" or (precision == "auto" and has_bf16)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
