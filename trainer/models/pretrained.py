"""Published weights into our video tower."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from shards_spec.errors import InputError
from trainer.models.video import R2Plus1d


def load_torchvision(tower: R2Plus1d, weights: Mapping[str, torch.Tensor]) -> None:
    """Load the state of torchvision's `r2plus1d_18` (its classifier `fc` is left out).

    In a tower with more channels the additional ones get weights of 0: its features are those of
    the published network. They then also stay 0 in training, as no gradient reaches them.

    Raises `InputError` that names what is missing, unknown or of another shape.
    """
    given = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    own = tower.state_dict()
    wrong = sorted(own.keys() ^ given.keys())
    wrong += [name for name in own.keys() & given.keys() if not _fits(given[name], own[name])]
    if wrong:
        raise InputError(
            f"these weights are not of torchvision's r2plus1d_18: {', '.join(wrong[:5])}"
            f"{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''} differ"
        )
    tower.load_state_dict({name: _padded(given[name], own[name], name) for name in own})


def _fits(value: torch.Tensor, own: torch.Tensor) -> bool:
    pairs = zip(value.shape, own.shape, strict=False)
    return value.ndim == own.ndim and all(size <= limit for size, limit in pairs)


def _padded(value: torch.Tensor, own: torch.Tensor, name: str) -> torch.Tensor:
    """`value` in the corner of a tensor of `own`'s shape; ones elsewhere for variances, else 0."""
    fill = 1.0 if name.endswith("running_var") else 0.0
    found = torch.full_like(own, fill)
    found[tuple(slice(size) for size in value.shape)] = value
    return found
