"""Loads published weights into our towers, by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from shards_spec.errors import InputError

#: Parts of published networks that our towers do not have: the classifier.
CLASSIFIER = "fc."


def load_tower(tower: nn.Module, weights: Mapping[str, torch.Tensor], source: str) -> None:
    """Load the weights of a published network or of another tower (a classifier is left out).

    In a tower with more channels the additional ones get weights of 0: its features are those of
    the published network. They then also stay 0 in training, as no gradient reaches them. The first
    convolution of a network for RGB images becomes one for spectrograms by summing over its input
    channels.

    Args:
        source: where the weights come from, for messages.

    Raises `InputError` that names what is missing, unknown, of another shape, NaN or infinite.
    """
    given = {name: value for name, value in weights.items() if not name.startswith(CLASSIFIER)}
    own = tower.state_dict()
    for name, value in given.items():
        if name in own and value.ndim == 4 and (value.shape[1], own[name].shape[1]) == (3, 1):
            given[name] = value.sum(dim=1, keepdim=True)
    wrong = sorted(own.keys() ^ given.keys())
    wrong += [name for name in own.keys() & given.keys() if not _fits(given[name], own[name])]
    if wrong:
        raise InputError(
            f"{source}: these weights are not of a {type(tower).__name__}: {', '.join(wrong[:5])}"
            f"{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''} differ; choose the tower "
            "that they belong to with --model.video or --model.audio"
        )
    for name, value in given.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"{source}: {name} is NaN or infinite; use another file")
    tower.load_state_dict({name: _padded(given[name], own[name], name) for name in own})


def _fits(value: torch.Tensor, own: torch.Tensor) -> bool:
    pairs = zip(value.shape, own.shape, strict=False)
    return value.ndim == own.ndim and all(size <= limit for size, limit in pairs)


def _padded(value: torch.Tensor, own: torch.Tensor, name: str) -> torch.Tensor:
    """`value` in the corner of a tensor of `own`'s shape; ones elsewhere for variances, else 0."""
    fill = 1.0 if name.endswith("running_var") else 0.0
    padded = torch.full_like(own, fill)
    padded[tuple(slice(size) for size in value.shape)] = value
    return padded
