"""Fused normalization and folded stems: what torch computes, whatever the memory's arrangement."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.support.samples import mostly_slow
from trainer.models.audio import AudioResNet18
from trainer.models.fused_norm import forced, norm_act, norm_act_twice
from trainer.models.layouts import stem_conv, stem_squares
from trainer.models.norm.ops import KernelOps, NormOps, TorchOps
from trainer.models.norm.values import Affine, Grads, Over, Running
from trainer.models.video import R2Plus1d


class StrictOps(TorchOps):
    """Rejects activations that kernels, which read memory as it lies, would misread."""

    def stats(self, x: torch.Tensor, *settings: Any) -> Any:
        self._check(x)
        return super().stats(x, *settings)

    def apply(self, x: torch.Tensor, affine: Affine, short: Any, *, relu: bool) -> torch.Tensor:
        self._check(x, short)
        y = super().apply(x, affine, short, relu=relu)
        return y.contiguous(memory_format=torch.channels_last)

    def grads(self, dy: torch.Tensor, x: torch.Tensor, *positional: Any, **settings: Any) -> Grads:
        self._check(dy, x, settings.get("output"), settings.get("more"))
        return super().grads(dy, x, *positional, **settings)

    @staticmethod
    def _check(*activations: torch.Tensor | None) -> None:
        for x in activations:
            if x is not None:
                assert x.is_contiguous(memory_format=torch.channels_last), x.stride()


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm())


def passes(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Features, each weight's gradient and each running statistic, after one step's passes."""
    features = net(x)
    weight = torch.linspace(-1, 1, 512, dtype=features.dtype, device=features.device)
    (features @ weight).square().sum().backward()
    grads = [weight.grad for weight in net.parameters() if weight.grad is not None]
    return [features, *grads, *(value for value in net.buffers() if value.is_floating_point())]


def audio_net() -> AudioResNet18:
    torch.manual_seed(0)
    return AudioResNet18()


def spectrograms(*size: int) -> torch.Tensor:
    return torch.randn(3, 1, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", mostly_slow([(16, 40), (17, 33)], [(17, 33)]))
@pytest.mark.parametrize("ops", [TorchOps(), StrictOps()])
def test_the_fused_audio_tower_is_torchs(ops: NormOps, size: tuple[int, int]) -> None:
    plain = audio_net().double()
    fused = copy.deepcopy(plain)
    expected = passes(plain, spectrograms(*size).double())
    with forced(ops):
        found = passes(fused, spectrograms(*size).double())
    assert max(map(relative, found, expected)) < 1e-9


def test_the_fused_video_tower_reads_memory_in_its_order() -> None:
    torch.manual_seed(0)
    net = R2Plus1d()
    with forced(StrictOps()):
        net(torch.randn(2, 3, 4, 16, 16)).sum().backward()


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("has_short", [True, False])
def test_any_arrangement_of_an_activation_is_normalized(relu: bool, has_short: bool) -> None:
    x, short = torch.randn(2, 3, 8, 6, 5, dtype=torch.float64)
    norm = nn.BatchNorm2d(8).double()
    with forced(StrictOps()):
        found = norm_act(x, norm, short if has_short else None, relu=relu)
    expected = functional.batch_norm(x, None, None, training=True)
    expected = expected + short if has_short else expected
    torch.testing.assert_close(found, expected.relu() if relu else expected)


@pytest.mark.parametrize("has_short", [True, False])
@pytest.mark.parametrize("readers", [(0,), (1,), (0, 1)])
def test_gradients_of_both_readers_are_added(has_short: bool, readers: tuple[int, ...]) -> None:
    x, short, dy = torch.randn(3, 2, 8, 6, 5, dtype=torch.float64)
    norm = nn.BatchNorm2d(8).double()

    def gradients(ops: NormOps | None) -> list[torch.Tensor]:
        leaves = [x.clone().requires_grad_(), short.clone().requires_grad_(), *norm.parameters()]
        pair = norm_act_twice(leaves[0], norm, leaves[1] if has_short else None)
        if ops is not None:
            with forced(ops):
                pair = norm_act_twice(leaves[0], norm, leaves[1] if has_short else None)
        loss = sum((pair[number] * dy).square().sum() for number in readers)
        used = leaves if has_short else [leaves[0], *leaves[2:]]
        return list(torch.autograd.grad(loss, used))

    for found, expected in zip(gradients(StrictOps()), gradients(None), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (24, 32), (15, 24), (16, 21), (9, 7)])
def test_a_stem_over_squares_is_the_stem(channels: int, size: tuple[int, int]) -> None:
    pixels = torch.randn(3, channels, *size, dtype=torch.float64)
    conv = nn.Conv2d(channels, 45, 7, stride=2, padding=3, bias=False).double()
    found = stem_conv(stem_squares(pixels), conv.weight, 16)
    torch.testing.assert_close(found[:, :45], conv(pixels))
    assert not found[:, 45:].any()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [48, 144, 1152])
@pytest.mark.parametrize("has_short", [False, True])
@pytest.mark.parametrize("has_more", [False, True])
def test_kernels_compute_what_torch_does(
    width: int, dtype: torch.dtype, has_short: bool, has_more: bool
) -> None:
    compare_kernels(torch.device("cuda"), width, dtype, has_short=has_short, has_more=has_more)


def compare_kernels(
    device: torch.device, width: int, dtype: torch.dtype, *, has_short: bool, has_more: bool
) -> None:
    generator = torch.Generator().manual_seed(0)

    def activation() -> torch.Tensor:
        values = torch.randn(8, width, 14, 14, generator=generator) * 2 + 3
        return values.to(device, dtype).contiguous(memory_format=torch.channels_last)

    x, dy = activation(), activation() - 3
    short = activation() - 3 if has_short else None
    more = activation() - 3 if has_more else None
    weight = torch.rand(width, generator=generator).to(device) + 0.5
    bias = torch.randn(width, generator=generator).to(device)

    def run(ops: NormOps) -> list[torch.Tensor]:
        running = Running(torch.full_like(weight, 2.5), torch.ones_like(weight), 0.1)
        mean, rstd = ops.stats(x, running, 1e-5, Over())
        affine = Affine(weight, bias, mean, rstd)
        y = ops.apply(x, affine, short, relu=True)
        output = y if has_short else None
        grads = ops.grads(dy.clone(), x, affine, Over(), relu=True, output=output, more=more)
        extra = [grads.short] if grads.short is not None else []
        return [mean, rstd, running.mean, running.var, y, grads.x, grads.weight, grads.bias, *extra]

    tolerance = 1e-5 if dtype == torch.float32 else 1e-3
    assert max(map(relative, run(KernelOps()), run(TorchOps()))) < tolerance


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(80, 320), (33, 47)])
def test_the_audio_tower_on_kernels_computes_what_the_cpu_does(size: tuple[int, int]) -> None:
    host = audio_net()
    device = copy.deepcopy(host).cuda()
    spectrogram = spectrograms(*size)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found = passes(device, spectrogram.cuda())
        errors = sorted(map(relative, found, passes(host, spectrogram)))
        # Rounding opens or closes a few relus, whichever way the device computes: up to 0.016.
        assert errors[-1] < 0.05
        assert errors[len(errors) // 2] < 1e-3
        with torch.no_grad():
            found_eval = device.eval()(spectrogram.cuda())
    assert relative(found_eval, host.eval()(spectrogram)) < 1e-3
