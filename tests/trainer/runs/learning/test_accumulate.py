"""Gradient accumulation: the loss of the whole batch, and the gradients of one graph over it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.support.launch.ranks import start_ranks
from trainer.models import Embeddings, TwoTowers, build_model
from trainer.runs.learning.accumulate import Trained, forward_and_backward, split
from trainer.runs.learning.device_inputs import Inputs
from trainer.runs.learning.loss import ClipOrigins, Criterion, LossOutput, contrastive_loss
from trainer.settings import LossConfig
from trainer.settings.model import InputConfig, ModelConfig

NUM_CLIPS = 16
SMALL = ModelConfig(embedding_size=16, head_hidden=32, inputs=InputConfig(frame_size=32))
LARGE = dataclasses.replace(SMALL, video="r2plus1d18", audio="resnet18")
LOSS = LossConfig(within_weight=2.0)


def clips() -> tuple[Inputs, ClipOrigins]:
    """Four movies of four clips."""
    generator = torch.Generator().manual_seed(3)
    video = torch.rand(NUM_CLIPS, 3, 4, 32, 32, generator=generator)
    audio = torch.randn(NUM_CLIPS, 1, 16, 64, generator=generator)
    movie = torch.arange(NUM_CLIPS) // 4
    start_ns = torch.arange(NUM_CLIPS) * 10**9
    return Inputs(video, audio, False), ClipOrigins(movie, movie, torch.zeros_like(movie), start_ns)


def trained(model: TwoTowers, forward: Any = None) -> Trained:
    def full_precision() -> torch.autocast:
        return torch.autocast("cpu", enabled=False)

    return Trained(model, forward or model, full_precision)


def step(model: TwoTowers, num_parts: int) -> tuple[LossOutput, torch.Tensor]:
    inputs, moments = clips()
    criterion = Criterion(LOSS, SMALL.embedding_size)
    output, _ = forward_and_backward(trained(model), inputs, moments, criterion, num_parts)
    return output, gradient(model)


def gradient(model: TwoTowers) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])  # type: ignore[union-attr]


def in_one_graph(model: TwoTowers, num_parts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient if the graphs of all parts are kept until the loss is known."""
    inputs, moments = clips()
    parts = split(NUM_CLIPS, num_parts)
    pieces = [model(inputs.video[rows], inputs.audio[rows]) for rows in parts]
    order = torch.cat([torch.arange(NUM_CLIPS)[rows] for rows in parts]).argsort()
    video, audio = (
        torch.cat([getattr(piece, name) for piece in pieces])[order] for name in ("video", "audio")
    )
    loss = contrastive_loss(Embeddings(video, audio, pieces[0].scale), moments, LOSS).loss
    loss.backward()
    return loss.detach(), gradient(model)


@pytest.mark.parametrize(
    "config", [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["small", "large"]
)
@pytest.mark.parametrize("num_parts", [1, 2, 4])
def test_gradients_are_those_of_one_graph(config: ModelConfig, num_parts: int) -> None:
    model = build_model(config, 0)
    reference = copy.deepcopy(model)
    output, found = step(model, num_parts)
    loss, expected = in_one_graph(reference, num_parts)
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    torch.testing.assert_close(output.loss.detach(), loss, rtol=1e-5, atol=0)
    for name, value in reference.named_buffers():
        torch.testing.assert_close(model.get_buffer(name), value, msg=name)


def test_without_batch_statistics_the_number_of_parts_is_irrelevant() -> None:
    model = build_model(SMALL, 0)
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
    found = {}
    for num_parts in (1, 2, 4):
        copied = copy.deepcopy(model)
        output, found[num_parts] = step(copied, num_parts)
        whole, _ = step(copy.deepcopy(model), 1)
        torch.testing.assert_close(output.loss, whole.loss, rtol=1e-5, atol=0)
    for num_parts in (2, 4):
        error = float((found[num_parts] - found[1]).norm() / found[1].norm())
        assert error < 1e-5, num_parts


def test_parts_hold_clips_of_all_movies() -> None:
    parts = split(NUM_CLIPS, 4)
    movie = torch.arange(NUM_CLIPS) // 4
    assert all(movie[rows].tolist() == [0, 1, 2, 3] for rows in parts)
    assert len(split(3, 8)) == 3


def test_recomputing_leaves_statistics_and_modules_unchanged() -> None:
    model = build_model(LARGE, 0)
    inputs, _ = clips()
    before = {name: value.clone() for name, value in model.named_buffers()}
    with torch.no_grad(), model.replaying():
        model(inputs.video, inputs.audio)
    after = dict(model.named_buffers())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    with torch.no_grad():
        model(inputs.video, inputs.audio)
    assert not torch.equal(
        model.get_buffer("video.stem.1.running_mean"), before["video.stem.1.running_mean"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("num_parts", [1, 2, 4])
def test_ranks_in_parts_agree_with_one_process(num_parts: int, tmp_path: Path) -> None:
    """Two ranks with n parts each, against one graph over the same 2 n parts in one process."""
    ranks = start_ranks([__file__, str(num_parts), str(tmp_path / "found.pt")], 2)
    assert [rank.wait(timeout=500) for rank in ranks] == [0, 0]
    found = torch.load(tmp_path / "found.pt")
    model = build_model(SMALL, 0)
    inputs, moments = clips()
    half = NUM_CLIPS // 2
    rows = torch.arange(NUM_CLIPS)
    parts = [rows[:half][part] for part in split(half, num_parts)]
    parts += [rows[half:][part] for part in split(half, num_parts)]
    pieces = [model(inputs.video[part], inputs.audio[part]) for part in parts]
    order = torch.cat(parts).argsort()
    video = torch.cat([piece.video for piece in pieces])[order]
    audio = torch.cat([piece.audio for piece in pieces])[order]
    contrastive_loss(Embeddings(video, audio, pieces[0].scale), moments, LOSS).loss.backward()
    expected = gradient(model)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def main(num_parts: int, out: str) -> None:
    """One of two ranks."""
    dist.init_process_group("gloo")
    rank, half = dist.get_rank(), NUM_CLIPS // 2
    own = slice(rank * half, (rank + 1) * half)
    model = build_model(SMALL, 0)
    inputs, moments = clips()
    own_inputs = Inputs(inputs.video[own], inputs.audio[own], False)
    own_moments = ClipOrigins(
        *(getattr(moments, field.name)[own] for field in dataclasses.fields(moments))
    )
    forward = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    with contextlib.ExitStack() as stack:
        stack.callback(dist.destroy_process_group)
        criterion = Criterion(LOSS, SMALL.embedding_size)
        forward_and_backward(trained(model, forward), own_inputs, own_moments, criterion, num_parts)
        if rank == 0:
            torch.save(gradient(model), out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert "RANK" in os.environ
    main(int(sys.argv[1]), sys.argv[2])
