"""How near the two views of clips lie, by how the clips are related: histograms of cosines.

    positive        a clip's own two views
    within, by gap  different clips of one movie, by the time between their starts
    cross           clips of different movies
    same class      ... of one class, and the rest; both of different movies

Shape suffixes: N clips, D embedding size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from shards_spec.recipe import NANOSECONDS
from trainer.evaluate import EmbeddedClips

#: Edges of the time gaps, seconds: within a shot or next to it, near, far.
GAPS = (6.0, 30.0)

NUM_BINS = 50


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Cosines of one kind of pair."""

    kind: str
    mean: float
    num_pairs: int
    shares: list[float]
    """Share of the pairs in each of `NUM_BINS` equal bins over [-1, 1]."""


def similarities(
    embedded: EmbeddedClips, start_ns_N: torch.Tensor, labels: Sequence[str | None] | None
) -> list[Histogram]:
    """Histograms of video-to-audio cosines; kinds without a pair are left out."""
    cosine_NN = embedded.video @ embedded.audio.T
    own_NN = torch.eye(len(cosine_NN), dtype=torch.bool)
    same_NN = embedded.movie[:, None] == embedded.movie[None, :]
    gap_NN = (start_ns_N[:, None] - start_ns_N[None, :]).abs() / NANOSECONDS
    within_NN = same_NN & ~own_NN
    near, far = GAPS
    kinds = {
        "positive": own_NN,
        f"same movie, less than {near:g} s apart": within_NN & (gap_NN < near),
        f"same movie, {near:g} to {far:g} s apart": within_NN & (gap_NN >= near) & (gap_NN < far),
        f"same movie, {far:g} s apart or more": within_NN & (gap_NN >= far),
        "other movie": ~same_NN,
    }
    if labels is not None:
        number = {name: place for place, name in enumerate(sorted({n for n in labels if n}))}
        label_N = torch.tensor([number[name] if name else -1 for name in labels])
        known_NN = (label_N >= 0)[:, None] & (label_N >= 0)[None, :]
        alike_NN = label_N[:, None] == label_N[None, :]
        kinds["other movie, same class"] = ~same_NN & known_NN & alike_NN
        kinds["other movie, other class"] = ~same_NN & known_NN & ~alike_NN
        kinds["same movie, same class"] = within_NN & known_NN & alike_NN
        kinds["same movie, other class"] = within_NN & known_NN & ~alike_NN
    return [_histogram(kind, cosine_NN[mask]) for kind, mask in kinds.items() if mask.any()]


def to_json(histograms: Sequence[Histogram]) -> list[dict[str, Any]]:
    """Plain values."""
    return [
        {"kind": one.kind, "mean": one.mean, "num_pairs": one.num_pairs, "shares": one.shares}
        for one in histograms
    ]


def _histogram(kind: str, cosine: torch.Tensor) -> Histogram:
    # Rounding may carry a unit vector's cosine with itself past 1.
    counts = torch.histc(cosine.clamp(-1, 1), bins=NUM_BINS, min=-1, max=1)
    shares = (counts / len(cosine)).tolist()
    return Histogram(
        kind=kind,
        mean=float(cosine.mean()),
        num_pairs=len(cosine),
        shares=[round(share, 6) for share in shares],
    )
