"""How stored clips become network inputs, on the device; nothing else does this.

    frames (B, T, S, S, 3) uint8 -> choose frames -> resize -> [0, 1]      | augment | normalize
    log-mel (B, M, L) float16    -> float32, nats                         | augment | normalize

Augmentation (`trainer/runs/learning/augment.py`) is applied between the two stages, where pixels
are still in [0, 1] and levels in nats, so that its settings have meaningful units.

Shape suffixes: B clips, T frames, H x W pixels, C channels, M mel bands, L mel frames.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.nn import functional

from trainer.settings.model import InputConfig, ModelConfig

#: Mean and standard deviation of torchvision's Kinetics video weights, RGB in [0, 1].
VIDEO_MEAN = (0.43216, 0.394666, 0.37645)
VIDEO_STD = (0.22803, 0.22145, 0.216989)

#: Quieter mel bins are raised to this, nats: log of 1e-10, below which there is only rounding.
LOGMEL_FLOOR = -23.0

#: Lower bound on a clip's log-mel deviation, nats, so that near-silence is not amplified.
MIN_LOGMEL_STD = 0.5


def video_from_frames(frames_BTHWC: torch.Tensor, config: InputConfig) -> torch.Tensor:
    """Stored uint8 frames -> (B, 3, T', size, size) float32 in [0, 1]."""
    num_stored, side = frames_BTHWC.shape[1], frames_BTHWC.shape[2]
    chosen = frame_choice(num_stored, config.num_frames)
    if len(chosen) < num_stored:
        chosen_T = constant(chosen, frames_BTHWC.device, torch.int64)
        frames_BTHWC = frames_BTHWC.index_select(1, chosen_T)
    size = config.frame_size or side
    num_clips, num_frames = frames_BTHWC.shape[:2]
    pixels_NCHW = frames_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
    if size != side:
        # Only the CPU can resize uint8, which saves three quarters of the memory traffic.
        if pixels_NCHW.device.type != "cpu":
            pixels_NCHW = pixels_NCHW.float()
        pixels_NCHW = functional.interpolate(
            pixels_NCHW, size=(size, size), mode="bilinear", antialias=True
        )
    pixels_NHWC = pixels_NCHW.permute(0, 2, 3, 1)
    video_BTHWC = pixels_NHWC.reshape(num_clips, num_frames, *pixels_NHWC.shape[1:])
    return video_BTHWC.permute(0, 4, 1, 2, 3).float().div_(255.0)


def frame_choice(num_stored: int, num_used: int) -> list[int]:
    """Which frames are used: `num_used`, evenly spaced from the first on; 0 for all of them."""
    num_used = min(num_used, num_stored) or num_stored
    return [number * num_stored // num_used for number in range(num_used)]


def audio_from_logmel(logmel_BML: torch.Tensor) -> torch.Tensor:
    """Stored log-mel -> (B, 1, M, L) float32 nats, floored."""
    return logmel_BML.float().clamp_(min=LOGMEL_FLOOR)[:, None]


def normalize_video(video_BCTHW: torch.Tensor) -> torch.Tensor:
    """[0, 1] -> about zero mean and unit deviation, per channel."""
    mean_C = constant(VIDEO_MEAN, video_BCTHW.device)
    std_C = constant(VIDEO_STD, video_BCTHW.device)
    return (video_BCTHW - mean_C.view(3, 1, 1, 1)) / std_C.view(3, 1, 1, 1)


def normalize_audio(audio_BCML: torch.Tensor, config: InputConfig) -> torch.Tensor:
    """Nats -> about zero mean and unit deviation, according to `config.audio_norm`."""
    if config.audio_norm == "fixed":
        return (audio_BCML - config.audio_mean) / config.audio_std
    over = (2, 3) if config.audio_norm == "clip" else (3,)
    mean = audio_BCML.mean(dim=over, keepdim=True)
    std = audio_BCML.std(dim=(2, 3), keepdim=True, correction=0).clamp(min=MIN_LOGMEL_STD)
    return (audio_BCML - mean) / std


def describe_inputs(
    config: ModelConfig, *, stored_frames: int, crop_pixels: int
) -> dict[str, dict[str, Any]]:
    """The two inputs as JSON values: architecture, layout, units and normalization; and the size of
    transformers, if there are any."""
    inputs = config.inputs
    is_fixed = inputs.audio_norm == "fixed"
    uses_transformer = "transformer" in (config.video, config.audio)
    return {
        **({"transformer": dataclasses.asdict(config.transformer)} if uses_transformer else {}),
        "video": {
            "architecture": config.video,
            "layout": "batch, RGB, frames, height, width",
            "crop_pixels": crop_pixels,
            "resize_pixels": inputs.frame_size or crop_pixels,
            "frames_used": frame_choice(stored_frames, inputs.num_frames),
            "range_before_norm": [0.0, 1.0],
            "mean": list(VIDEO_MEAN),
            "std": list(VIDEO_STD),
        },
        "audio": {
            "architecture": config.audio,
            "layout": "batch, 1, mel bands, time frames",
            "unit_before_norm": "natural log of mel power",
            "floor": LOGMEL_FLOOR,
            "norm": inputs.audio_norm,
            "mean": inputs.audio_mean if is_fixed else f"of each {inputs.audio_norm}",
            "std": inputs.audio_std if is_fixed else f"of each clip, at least {MIN_LOGMEL_STD}",
        },
    }


def constant(values: Any, device: torch.device, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`values` (nested sequences of numbers) on a device.

    `torch.tensor(values, device=device)` would block until the device has finished its queue.
    """
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)
