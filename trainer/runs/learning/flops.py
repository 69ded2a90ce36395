"""Arithmetic of a training step, and what share of a device's arithmetic that is."""

from __future__ import annotations

import functools

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainer.models import TwoTowers
from trainer.settings.model import ModelConfig

#: Dense bfloat16 arithmetic by name of the device, TFLOP/s, as the makers state it; the first name
#: that the device's contains.
PEAK_TFLOPS = (
    ("B300", 2250.0), ("B200", 2250.0), ("GB200", 2500.0), ("H200", 989.0), ("H100 PCIe", 756.0),
    ("H100 NVL", 835.0), ("H100", 989.0), ("H800", 989.0), ("A100", 312.0), ("A800", 312.0),
    ("L40S", 362.0), ("L40", 181.0), ("L4", 121.0), ("A10G", 70.0), ("A10", 125.0), ("A30", 165.0),
    ("RTX 5090", 210.0), ("RTX 4090", 165.0), ("RTX 3090", 71.0), ("MI300X", 1307.0),
)  # fmt: skip


@functools.lru_cache
def flops_per_clip(
    config: ModelConfig, num_frames: int, frame_size: int, n_mels: int, num_mel_frames: int
) -> float:
    """Floating-point operations of convolutions and matrices, forward and backward, for one clip.

    Counted without computing anything; a product and a sum are two. Recomputation to save memory
    does not count.
    """
    with torch.device("meta"):
        model = TwoTowers(config).train()
        video = torch.empty(2, 3, num_frames, frame_size, frame_size)
        audio = torch.empty(2, 1, n_mels, num_mel_frames)
    with FlopCounterMode(display=False) as counter:
        embeddings = model(video, audio)
        (embeddings.video.sum() + embeddings.audio.sum()).backward()
    return float(counter.get_total_flops()) / 2


def describe_model(config: ModelConfig, flops: float) -> str:
    """Networks, parameters and arithmetic, for the user; `flops` is that of `flops_per_clip`."""
    with torch.device("meta"):
        model = TwoTowers(config)
    millions = {
        name: sum(weight.numel() for weight in part.parameters()) / 1e6
        for name, part in model.named_children()
    }
    heads = millions["video_head"] + millions["audio_head"]
    return (
        f"model: video {config.video} {millions['video']:.3g} M parameters, audio {config.audio} "
        f"{millions['audio']:.3g} M, heads {heads:.3g} M; {flops / 1e9:.3g} GFLOP per clip, "
        "forward and backward"
    )


def peak_flops(device: torch.device) -> float:
    """Peak arithmetic of the device per second, in bfloat16; NaN if that is not known."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, tflops in PEAK_TFLOPS:
            if part in name:
                return tflops * 1e12
    return float("nan")
