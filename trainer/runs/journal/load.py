"""How much of a device a run uses: arithmetic, its share of the device's peak, memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from shards_spec.process import peak_rss_bytes
from shards_spec.recipe import Recipe
from trainer.config import TrainConfig
from trainer.runs.learning.flops import flops_per_clip, peak_flops
from trainer.runs.learning.window import WindowSize

GIB = 1024**3


@dataclass(frozen=True)
class Load:
    """What is known of a device and the work for one clip."""

    flops_per_clip: float
    """Floating-point operations of a training step for one clip."""
    peak_flops: float
    """Peak arithmetic of the device per second; NaN if that is not known."""
    device: torch.device

    @staticmethod
    def of(config: TrainConfig, recipe: Recipe, device: torch.device) -> Load:
        """What a step of a run demands of a device."""
        width = config.policy.joined_clips
        window = WindowSize.of(config, width * recipe.num_frames, width * recipe.num_mel_frames)
        size = config.model.inputs.frame_size or config.stream.frame_size
        shape = (len(window.offsets), size, recipe.n_mels, window.num_mel_frames)
        flops = config.loss.num_views * flops_per_clip(config.model, *shape)
        return Load(flops, peak_flops(device), device)

    def metrics(self, clips_per_second: float) -> dict[str, float]:
        """Figures of this rank by metric name; those that do not exist are NaN."""
        flops = clips_per_second * self.flops_per_clip
        return {
            "throughput/clips_per_second_per_device": clips_per_second,
            "throughput/tflops_per_device": flops / 1e12,
            "throughput/mfu": flops / self.peak_flops,
            "memory/peak_gib": self.peak_bytes() / GIB,
        }

    def peak_bytes(self) -> float:
        """The most memory that was in use so far: of the GPU, or of the process on the CPU."""
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self.device))
        return float(peak_rss_bytes())


def load_text(values: dict[str, float]) -> str:
    """The figures of `Load.metrics` for people."""
    mfu = values["throughput/mfu"]
    share = "" if mfu != mfu else f" (MFU {mfu:.0%})"
    rate = values["throughput/clips_per_second_per_device"]
    tflops, gib = values["throughput/tflops_per_device"], values["memory/peak_gib"]
    return f"per device: {rate:.0f} clips/s, {tflops:.3g} TFLOP/s{share}, {gib:.1f} GiB"
