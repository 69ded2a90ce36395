"""Forward and backward of one step: the whole batch at once, or in parts that fit in memory.

In parts, the loss is still that of the whole batch (the idea of GradCache, arXiv:2101.06983):

    1. every part forward without gradients     -> embeddings of all clips
    2. the loss of all clips, on all ranks      -> its gradient by embedding
    3. every part forward again, and backward from its embeddings' gradients

Gradients are those of one graph over all parts. Batch normalization takes each part's own
statistics, as every rank does without synchronization, and a part holds every n-th clip, hence
clips of all movies; the second pass has the statistics of the first and leaves running ones alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from trainer.models import Embeddings, TwoTowers
from trainer.runs.learning.device_inputs import Inputs
from trainer.runs.learning.loss import ClipOrigins, Criterion, LossOutput


@dataclass(frozen=True, eq=False)
class Trained:
    """What a step computes gradients of."""

    model: TwoTowers
    forward: Any
    """The model as it is called in training: itself, compiled, or wrapped for several ranks."""
    precision: Callable[[], torch.autocast]
    """Makes the context of a forward pass."""

    def embed(self, inputs: Inputs) -> Embeddings:
        """The embeddings of a batch or a part of one."""
        with self.precision():
            embeddings: Embeddings = self.forward(
                inputs.video, inputs.audio, is_normalized=inputs.is_normalized, key_B=inputs.key
            )
        return embeddings


def forward_and_backward(
    trained: Trained, inputs: Inputs, origins: ClipOrigins, criterion: Criterion, num_parts: int
) -> tuple[LossOutput, torch.Tensor]:
    """Add the step's gradients to the parameters'. Returns the loss and the logit scale.

    `inputs` are the clips of `origins`, or two views of them, one after the other.
    """
    if num_parts == 1:
        embeddings = trained.embed(inputs)
        output = _loss(criterion, embeddings, origins)
        output.loss.backward()  # type: ignore[no-untyped-call]
        criterion.average_gradients()
        return output, embeddings.scale.detach()
    parts = split(len(inputs.audio), num_parts)
    with torch.no_grad():
        pieces = [trained.embed(_part(inputs, rows)) for rows in parts]
    cached = _leaves(pieces, parts)
    output = _loss(criterion, cached, origins)
    output.loss.backward()  # type: ignore[no-untyped-call]
    criterion.average_gradients()
    with trained.model.replaying():
        for number, rows in enumerate(parts):
            is_last = number == len(parts) - 1
            # Ranks sum their gradients once, with the last part's.
            waits = contextlib.nullcontext() if is_last else _without_sync(trained.forward)
            with waits:
                embeddings = trained.embed(_part(inputs, rows))
                outputs = [embeddings.video, embeddings.audio]
                grads = [_rows(cached.video.grad, rows), _rows(cached.audio.grad, rows)]
                if is_last:
                    outputs.append(embeddings.scale)
                    grads.append(_rows(cached.scale.grad, ...))
                torch.autograd.backward(outputs, grads)
    return output, cached.scale.detach()


def _loss(criterion: Criterion, embeddings: Embeddings, origins: ClipOrigins) -> LossOutput:
    """The loss of embeddings of one view or, one after the other, two views of the clips."""
    num_clips = len(origins.group)
    first, second = (
        Embeddings(embeddings.video[rows], embeddings.audio[rows], embeddings.scale)
        for rows in (slice(num_clips), slice(num_clips, None))
    )
    output: LossOutput = criterion(first, origins, second if len(second.video) else None)
    return output


def split(num_clips: int, num_parts: int) -> list[slice]:
    """Every `num_parts`-th clip from each start: the k clips of a movie are spread out."""
    return [slice(first, None, num_parts) for first in range(min(num_parts, num_clips))]


def _part(inputs: Inputs, rows: slice) -> Inputs:
    key_B = None if inputs.key is None else inputs.key[rows]
    return Inputs(inputs.video[rows], inputs.audio[rows], inputs.is_normalized, key_B)


def _rows(grad: torch.Tensor | None, rows: Any) -> torch.Tensor:
    assert grad is not None
    return grad[rows]


def _leaves(pieces: list[Embeddings], parts: list[slice]) -> Embeddings:
    """The embeddings of all parts, in batch order, as new leaves of the graph."""
    num_clips = sum(len(piece.video) for piece in pieces)
    video, audio = (
        first.new_empty(num_clips, first.shape[1]) for first in (pieces[0].video, pieces[0].audio)
    )
    for piece, rows in zip(pieces, parts, strict=True):
        video[rows], audio[rows] = piece.video, piece.audio
    scale = pieces[0].scale.clone()
    return Embeddings(*(tensor.requires_grad_() for tensor in (video, audio, scale)))


def _without_sync(forward: Any) -> contextlib.AbstractContextManager[Any]:
    if isinstance(forward, torch.nn.parallel.DistributedDataParallel):
        return forward.no_sync()
    return contextlib.nullcontext()
