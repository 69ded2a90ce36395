"""R(2+1)D on 2D convolutions: equal to the 3D network, also if fused, padded or recomputed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import get_args

import pytest
import torch
from torch import nn

from shards_spec.errors import InputError
from tests.support.samples import mostly_slow
from trainer.models.fused_norm import forced
from trainer.models.norm.ops import NormOps, TorchOps
from trainer.models.pretrained import load_tower
from trainer.models.video import R2Plus1d, Recompute

#: Relative error of gradients (norm) in float64; the summation order differs.
TOLERANCE = 1e-10


def in_three_dimensions(net: R2Plus1d, video_BCTHW: torch.Tensor) -> torch.Tensor:
    """The same network as in torchvision: 3D convolutions, one module after the other."""
    x = net.stem(video_BCTHW)
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in layer:
            short = x if block.downsample is None else block.downsample(x)
            x = torch.relu(block.conv2(block.conv1(x)) + short)
    return x.mean(dim=(2, 3, 4))


def learnt(net: R2Plus1d, call: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """Features, gradient and running statistics after one step's passes."""
    generator = torch.Generator().manual_seed(1)
    video = torch.randn(2, 3, 8, 32, 32, generator=generator, dtype=torch.float64)
    features = call(video)
    (features @ torch.linspace(-1, 1, 512, dtype=features.dtype)).square().sum().backward()
    grads = [weight.grad.flatten() for weight in net.parameters() if weight.grad is not None]
    buffers = [value.double().flatten() for value in net.buffers()]
    return [features.detach(), torch.cat(grads), torch.cat(buffers)]


def errors(found: list[torch.Tensor], expected: list[torch.Tensor]) -> list[float]:
    pairs = zip(found, expected, strict=True)
    return [float((one - other).norm() / other.norm()) for one, other in pairs]


@pytest.fixture(scope="module")
def net() -> R2Plus1d:
    torch.manual_seed(0)
    return R2Plus1d().double()


@pytest.fixture(scope="module")
def expected(net: R2Plus1d) -> list[torch.Tensor]:
    reference = copy.deepcopy(net)
    return learnt(reference, lambda video: in_three_dimensions(reference, video))


@pytest.mark.parametrize("recompute", mostly_slow(get_args(Recompute), ("segments",)))
@pytest.mark.parametrize("ops", [pytest.param(None, marks=pytest.mark.slow), TorchOps()])
def test_it_is_the_three_dimensional_network(
    net: R2Plus1d, expected: list[torch.Tensor], ops: NormOps | None, recompute: Recompute
) -> None:
    found_net = copy.deepcopy(net)
    found_net.recompute = recompute
    with forced(ops) if ops else nullcontext():
        found = learnt(found_net, found_net)
    # Sums over parts of the batch are accumulated in float32.
    tolerance = 1e-6 if recompute == "segments" and ops else TOLERANCE
    assert max(errors(found, expected)) < tolerance


def test_evaluation_is_the_three_dimensional_network(net: R2Plus1d) -> None:
    evaluated = copy.deepcopy(net).eval()
    video = torch.randn(1, 3, 5, 40, 24, dtype=torch.float64)
    with torch.no_grad():
        found, expected = evaluated(video), in_three_dimensions(evaluated, video)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_wide_tower_with_published_weights_returns_their_features(net: R2Plus1d) -> None:
    weights = net.float().state_dict() | {"fc.weight": torch.zeros(400, 512)}
    narrow, wide = R2Plus1d(), R2Plus1d(lanes=16)
    load_tower(narrow, weights, "a file")
    load_tower(wide, weights, "a file")
    widths = {conv.out_channels for conv in wide.modules() if isinstance(conv, nn.Conv3d)}
    assert all(width % 16 == 0 for width in widths)
    assert {48, 144, 240, 464, 928} <= widths
    video = torch.randn(2, 3, 4, 32, 32)
    for mode in (True, False):
        with torch.no_grad():
            found, expected = wide.train(mode)(video), narrow.train(mode)(video)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    net.double()


@pytest.mark.parametrize("change", mostly_slow(["missing", "unknown", "shape"], ("missing",)))
def test_weights_of_another_network_are_rejected(change: str) -> None:
    weights = R2Plus1d().state_dict()
    if change == "missing":
        del weights["stem.0.weight"]
    elif change == "unknown":
        weights["stem.9.weight"] = torch.zeros(1)
    else:
        weights["stem.0.weight"] = torch.zeros(64, 3, 3, 7, 7)
    with pytest.raises(InputError, match=r"stem\.[09]\.weight"):
        load_tower(R2Plus1d(), weights, "a file")


@pytest.mark.gpu
@pytest.mark.parametrize("recompute", ["nothing", "segments"])
def test_a_tower_on_kernels_computes_what_the_cpu_does(recompute: Recompute) -> None:
    torch.manual_seed(0)
    host = R2Plus1d()
    device = copy.deepcopy(host).cuda()
    device.recompute = recompute
    video = torch.randn(4, 3, 8, 64, 64)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found = device(video.cuda())
        found.square().sum().backward()
    expected = host(video)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)
    for one, other in zip(device.buffers(), host.buffers(), strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-3, atol=1e-4)
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found, expected = device.eval()(video.cuda()), host.eval()(video)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)
