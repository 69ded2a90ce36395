"""Fine-tuning: the towers and a linear classifier on top are trained on the labels.

Each epoch uses a random window of every training file: of video with a random crop, mirrored half
of the time. Test files are judged by the mean of the answers to all of their views.

Shape suffixes: B files of a batch, V views, Q test files, F features, K classes, T frames, S
pixels, C channels, M mel bands, L mel frames.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from trainer.runs.evaluate import ClipEncoder
from trainer.runs.scoring.probes import log_loss
from trainer.transfer.features import all_features, tower_features, view_inputs
from trainer.transfer.protocol import Modality, Protocol
from trainer.transfer.views import Windows

WEIGHT_DECAY = 1e-4

#: Share of the steps in which the learning rate grows.
WARMUP = 0.1


def finetuned_scores(
    encoder: ClipEncoder,
    modality: Modality,
    windows_of: Callable[[int], Windows],
    train: Sequence[int],
    target_NK: torch.Tensor,
    test: Sequence[int],
    protocol: Protocol,
    *,
    seed: int,
    many: bool,
) -> torch.Tensor:
    """(Q, K) probabilities of the test files by a copy of the encoder, fine-tuned on the others.

    Args:
        windows_of: the windows of a file of `train` and `test`.
        target_NK: bool, of the training files.
    """
    names = ("video", "audio") if modality == "both" else (modality,)
    tuned = dataclasses.replace(encoder, model=copy.deepcopy(encoder.model))
    # Autocast is on where it was in training; the weights stay in float32.
    tuned.model.requires_grad_(requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        num_features = sum(getattr(tuned.model, name).num_features for name in names)
        head = nn.Linear(num_features, target_NK.shape[1]).to(encoder.device)
        _train(tuned, head, names, windows_of, train, target_NK, protocol, many=many)
    tuned.model.eval()
    return torch.stack(
        [_answer(tuned, head, names, windows_of(at), protocol, many=many) for at in test]
    )


def _train(
    tuned: ClipEncoder,
    head: nn.Linear,
    names: Sequence[str],
    windows_of: Callable[[int], Windows],
    train: Sequence[int],
    target_NK: torch.Tensor,
    protocol: Protocol,
    *,
    many: bool,
) -> None:
    tuned.model.train()
    towers = [getattr(tuned.model, name) for name in names]
    parameters = [p for part in (*towers, head) for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=protocol.lr, weight_decay=WEIGHT_DECAY)
    # The last batch of an epoch may be a single file, which batch normalization cannot use.
    num_batches = max(1, round(len(train) / protocol.batch_size))
    num_steps = protocol.epochs * num_batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: _share(at, num_steps))
    labels = target_NK.double() if many else target_NK.int().argmax(dim=1)
    for _ in range(protocol.epochs):
        for rows in torch.randperm(len(train)).chunk(num_batches):
            picked = [_random_view(tuned, windows_of(train[row])) for row in rows.tolist()]
            features = torch.cat(
                [tower_features(tuned, n, torch.stack([v[n] for v in picked])) for n in names],
                dim=1,
            )
            loss = log_loss(head(features), labels[rows].to(tuned.device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


def _share(step: int, num_steps: int) -> float:
    """Of the largest learning rate: linear growth, then half a cosine."""
    warmup = max(1, round(WARMUP * num_steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))


def _random_view(encoder: ClipEncoder, windows: Windows) -> dict[str, torch.Tensor]:
    """Video (T, S, S, 3) uint8, and audio (M, L), of a random window."""
    number = int(torch.randint(len(windows), ()))
    view = {}
    if windows.strips is not None:
        frames_THWC, size = windows.frames(encoder.recipe.num_frames, number), encoder.crop_pixels
        top, left = (int(torch.randint(side - size + 1, ())) for side in frames_THWC.shape[1:3])
        crop = frames_THWC[:, top : top + size, left : left + size]
        view["video"] = crop.flip(2) if int(torch.randint(2, ())) else crop
    if windows.logmel is not None:
        view["audio"] = torch.from_numpy(windows.logmel[number])
    return view


@torch.no_grad()
def _answer(
    tuned: ClipEncoder,
    head: nn.Linear,
    names: Sequence[str],
    windows: Windows,
    protocol: Protocol,
    *,
    many: bool,
) -> torch.Tensor:
    """(K,) probabilities: the mean over views. With both modalities, the crops of a window share
    its audio."""
    inputs = view_inputs(tuned, windows, protocol.crops)
    features = {name: all_features(tuned, name, inputs[name]) for name in names}
    if len(names) == 2:
        features["audio"] = features["audio"].repeat_interleave(protocol.crops, dim=0)
    logits_VK = head(torch.cat([features[name] for name in names], dim=1))
    answers_VK = logits_VK.sigmoid() if many else logits_VK.softmax(dim=1)
    mean_K: torch.Tensor = answers_VK.double().mean(dim=0).cpu()
    return mean_K
