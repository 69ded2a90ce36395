"""How similar the two views of clips are, by how the clips are related: histograms of cosines.

    positive        a clip's own two views
    within, by gap  different clips of one movie, by the time between their starts
    cross           clips of different movies
    class           the same split again by whether the classes are equal

Memory is bounded: pairs are counted a block of rows at a time, and of more than `MAX_CLIPS` clips
only every n-th is used.

Shape suffixes: N clips, R rows of a block, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from shards_spec.recipe import NANOSECONDS
from trainer.runs.scoring.embeddings import EmbeddedClips

#: Edges of the time gaps, seconds: within a shot or next to it, near, far.
GAPS = (6.0, 30.0)

NUM_BINS = 50

#: More clips than this are thinned out evenly: 20,000 give 400 million pairs.
MAX_CLIPS = 20_000

#: Pairs compared at a time.
MAX_PAIRS = 2**22


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
    step = -(-len(embedded.clip) // MAX_CLIPS) or 1
    clips = _Clips(
        video=embedded.video[::step],
        audio=embedded.audio[::step],
        movie=embedded.movie[::step],
        start_ns=start_ns_N[::step],
        label=None if labels is None else _numbers(labels[::step]),
    )
    totals: dict[str, _Total] = {}
    rows = max(1, MAX_PAIRS // max(1, len(clips.movie)))
    for first in range(0, len(clips.movie), rows):
        cosine_RN = clips.video[first : first + rows] @ clips.audio.T
        for kind, mask_RN in _kinds(clips, first, len(cosine_RN)):
            totals.setdefault(kind, _Total()).add(cosine_RN[mask_RN])
    return [total.histogram(kind) for kind, total in totals.items() if total.num_pairs]


def to_json(histograms: Sequence[Histogram]) -> list[dict[str, Any]]:
    """JSON values."""
    return [
        {
            "kind": histogram.kind,
            "mean": histogram.mean,
            "num_pairs": histogram.num_pairs,
            "shares": histogram.shares,
        }
        for histogram in histograms
    ]


@dataclass(frozen=True, kw_only=True)
class _Clips:
    video: torch.Tensor
    """(N, D) float32, unit length."""
    audio: torch.Tensor
    """(N, D) float32, unit length."""
    movie: torch.Tensor
    """(N,) int64."""
    start_ns: torch.Tensor
    """(N,) int64."""
    label: torch.Tensor | None
    """(N,) int64; -1 for an unlabeled clip."""


class _Total:
    """Counts of one kind of pair, added up over blocks."""

    def __init__(self) -> None:
        self.num_pairs = 0
        self._sum = 0.0
        self._counts = torch.zeros(NUM_BINS, dtype=torch.float64)

    def add(self, cosine: torch.Tensor) -> None:
        """Count the cosines of a block."""
        if not len(cosine):
            return
        self.num_pairs += len(cosine)
        self._sum += float(cosine.double().sum())
        # Rounding may make the cosine of a unit vector with itself exceed 1.
        self._counts += torch.histc(cosine.clamp(-1, 1), bins=NUM_BINS, min=-1, max=1).double()

    def histogram(self, kind: str) -> Histogram:
        """The result; at least one pair must have been counted."""
        shares = (self._counts / self.num_pairs).tolist()
        return Histogram(
            kind=kind,
            mean=self._sum / self.num_pairs,
            num_pairs=self.num_pairs,
            shares=[round(share, 6) for share in shares],
        )


def _kinds(clips: _Clips, first: int, num_rows: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Each kind with its pairs among the rows from `first` on: (R, N) bool."""
    rows = slice(first, first + num_rows)
    own_RN = torch.zeros(num_rows, len(clips.movie), dtype=torch.bool)
    own_RN[torch.arange(num_rows), torch.arange(first, first + num_rows)] = True
    same_RN = clips.movie[rows, None] == clips.movie[None, :]
    gap_RN = (clips.start_ns[rows, None] - clips.start_ns[None, :]).abs() / NANOSECONDS
    within_RN = same_RN & ~own_RN
    near, far = GAPS
    yield "positive", own_RN
    yield f"same movie, less than {near:g} s apart", within_RN & (gap_RN < near)
    yield (
        f"same movie, {near:g} to {far:g} s apart",
        within_RN & (gap_RN >= near) & (gap_RN < far),
    )
    yield f"same movie, {far:g} s apart or more", within_RN & (gap_RN >= far)
    yield "other movie", ~same_RN
    if clips.label is None:
        return
    known_RN = (clips.label[rows, None] >= 0) & (clips.label[None, :] >= 0)
    equal_RN = clips.label[rows, None] == clips.label[None, :]
    yield "other movie, same class", ~same_RN & known_RN & equal_RN
    yield "other movie, other class", ~same_RN & known_RN & ~equal_RN
    yield "same movie, same class", within_RN & known_RN & equal_RN
    yield "same movie, other class", within_RN & known_RN & ~equal_RN


def _numbers(labels: Sequence[str | None]) -> torch.Tensor:
    number = {name: index for index, name in enumerate(sorted({name for name in labels if name}))}
    return torch.tensor([number[name] if name else -1 for name in labels])
