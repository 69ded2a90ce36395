"""Training steps on synthetic clips: one variant of the network and its settings per row."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import nn

from trainer.config import TrainConfig
from trainer.data.stream import Batch
from trainer.models.norm import ops as norm_ops
from trainer.ranks.world import World
from trainer.runs.learning import on_device
from trainer.runs.learning.flops import flops_per_clip
from trainer.runs.learning.learner import Learner
from trainer.train import learn

GIB = 1024**3


@dataclass(frozen=True)
class Variant:
    """A row of the table."""

    name: str
    change: Callable[[TrainConfig], TrainConfig] = lambda config: config
    """From the recipe to this row's settings."""
    network: str = "kernels"
    """`kernels` as the trainer runs it; `plain`: 2D convolutions without our kernels; `3d`: modules
    one after the other in three dimensions; `3d-last`: the same in channels-last memory."""
    batch: float = 1.0
    """Share of the recipe's batch."""
    tf32: bool = False
    search: bool = True
    """cudnn.benchmark."""
    recompute: str = ""
    """Instead of what fits in memory."""
    seconds: float = 15.0
    """How long the row takes at most on an H100; it is left out when less is left."""


@dataclass(frozen=True)
class Row:
    """What was measured; NaN where a figure does not apply."""

    name: str
    clips_per_s: float
    ms: float
    tflops: float
    peak_gib: float
    """Most memory in use."""
    reserved_gib: float
    """Most memory taken from the device."""
    loss: float
    """After the last step; equal clips and first weights in all rows."""


class InThreeDimensions(nn.Module):
    """R(2+1)D as torchvision writes it: its modules one after the other."""

    num_features = 512

    def __init__(self, net: nn.Module, *, channels_last: bool) -> None:
        super().__init__()
        self.net, self.channels_last = net, channels_last
        self.recompute = "nothing"
        if channels_last:
            net.to(memory_format=torch.channels_last_3d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) -> (B, 512)."""
        net: Any = self.net
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        x = net.stem(x.contiguous() if not self.channels_last else x)
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            for block in layer:
                short = x if block.downsample is None else block.downsample(x)
                x = torch.relu(block.conv2(block.conv1(x)) + short)
        return x.mean(dim=(2, 3, 4))


def measure(
    variant: Variant, recipe: TrainConfig, device: torch.device, num_steps: int, num_warm: int
) -> Row:
    """Run a variant's steps as the trainer's loop does, without waiting for each."""
    config = variant.change(recipe)
    policy = config.policy
    num_clips = round(policy.movies_per_batch * policy.clips_per_movie * variant.batch)
    batch = synthetic_batch(config, num_clips, device)
    with _settings(variant):
        learner = _learner(variant, config, device)
        batches = on_device(itertools.repeat(batch), device)
        done = 0
        for _ in range(num_warm):
            result, done = learn(learner, next(batches), done), done + 1
        _synchronize(device)
        _reset_peak(device)
        begin = time.perf_counter()
        for _ in range(num_steps):
            result, done = learn(learner, next(batches), done), done + 1
        loss = float(result.loss)
        _synchronize(device)
        seconds = (time.perf_counter() - begin) / num_steps
        peak, reserved = _peak(device)
    inputs = config.model.inputs
    size = inputs.frame_size or config.stream.frame_size
    flops = flops_per_clip(config.model, batch.frames.shape[1], size, *batch.logmel.shape[1:])
    rate = num_clips / seconds
    return Row(variant.name, rate, seconds * 1e3, rate * flops / 1e12, peak, reserved, loss)


def synthetic_batch(config: TrainConfig, num_clips: int, device: torch.device) -> Batch:
    """Clips of noise, in pinned memory for a GPU."""
    generator = torch.Generator().manual_seed(0)
    inputs = config.model.inputs
    size = config.stream.frame_size
    shape = (num_clips, inputs.num_frames, size, size, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    logmel = torch.randn(num_clips, 80, 320, generator=generator).half()
    if device.type == "cuda":
        frames, logmel = frames.pin_memory(), logmel.pin_memory()
    number = torch.arange(num_clips)
    movie = number // config.policy.clips_per_movie
    start_ns = number * 3_200_000_000
    return Batch(
        frames=frames, logmel=logmel, clip=number, group=movie, movie=movie, shot=number,
        start_ns=start_ns, epoch=0, step=0,
    )  # fmt: skip


def copy_rate(device: torch.device) -> float:
    """Bytes per second that a copy on the device reads and writes."""
    size = 2**31 if device.type == "cuda" else 2**24
    source = torch.empty(size, dtype=torch.uint8, device=device)
    return 2 * size / _median(lambda: source.clone(), device)


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations per second of a large bfloat16 product of random matrices."""
    size = 8192 if device.type == "cuda" else 256
    left, right = torch.randn(2, size, size, device=device).bfloat16()
    return 2 * size**3 / _median(lambda: left @ right, device)


def _median(run: Callable[[], Any], device: torch.device) -> float:
    times = []
    for _ in range(8):
        begin = time.perf_counter()
        run()
        _synchronize(device)
        times.append(time.perf_counter() - begin)
    return sorted(times[3:])[2]


def _learner(variant: Variant, config: TrainConfig, device: torch.device) -> Learner:
    learner = Learner.build(config, World(0, 1, device))
    torch.backends.cudnn.benchmark = variant.search
    model: Any = learner.model
    if variant.recompute:
        model.set_recompute(variant.recompute)
    if variant.network.startswith("3d"):
        net = model.video
        model.video = InThreeDimensions(net, channels_last=variant.network == "3d-last")
    return learner


@contextlib.contextmanager
def _settings(variant: Variant) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        matmul = torch.backends.cuda.matmul
        before = (torch.backends.cudnn.allow_tf32, matmul.allow_tf32)
        torch.backends.cudnn.allow_tf32 = matmul.allow_tf32 = variant.tf32
        if variant.network != "kernels":
            stack.enter_context(mock.patch.object(norm_ops, "_has_triton", return_value=False))
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, matmul.allow_tf32 = before
            torch.compiler.reset()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> tuple[float, float]:
    if device.type != "cuda":
        return float("nan"), float("nan")
    used = torch.cuda.max_memory_allocated(device) / GIB
    return used, torch.cuda.max_memory_reserved(device) / GIB


def with_model(config: TrainConfig, **settings: Any) -> TrainConfig:
    """The same run with another model."""
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **settings))
