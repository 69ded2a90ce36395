"""Recurrence: how often the content of a clip returns within its movie, by the time between.

Two clips are *near-duplicates* in a modality if the squared distance of their contents is less than
a fifth of that of two unrelated clips of a movie (for vectors of typical length, a correlation
above 0.8): neighbors in a shot, cuts back and forth, returning places, themes. A negative that is a
near-duplicate is a false one. The rate among clips of different movies is measured likewise, as the
rate of chance.

In the direction from video to audio, a negative is false if its audio is a near-duplicate, and
the other way round; a rate of false negatives is the mean of both.

Shape suffixes: N clips, P pairs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from trainer.analyse.descriptors import MODALITIES, Description

#: Edges of the time between the starts of two clips, seconds.
GAPS = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, math.inf)

#: Guards that are considered, seconds.
GUARDS = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0)

#: A clip returns if a near-duplicate starts at least this much later: not the same scene.
RETURN_SECONDS = 20.0

#: Squared distance below which clips are near-duplicates; 1 is that of unrelated clips.
NEAR = 0.2

#: Pairs from different movies that are looked at.
NUM_OTHER_PAIRS = 20_000

#: Clips of a movie that are compared with each other, taken evenly.
MAX_MOVIE_CLIPS = 3_000


@dataclass(frozen=True, kw_only=True)
class GapRate:
    """Pairs of clips of one movie, with some time between their starts."""

    low_s: float
    high_s: float
    """Exclusive; may be infinite."""
    num_pairs: int
    rates: dict[str, float]
    """Share of near-duplicates by modality, and in `both` at once."""

    @property
    def rate(self) -> float:
        """Mean over both directions of the comparison."""
        return sum(self.rates[name] for name in MODALITIES) / len(MODALITIES)


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """Near-duplicates within movies."""

    other_movies: dict[str, float]
    """Rate among pairs from different movies by modality; NaN with one movie."""
    by_gap: list[GapRate]
    """Without empty ranges."""
    beyond_guard: dict[float, GapRate]
    """By guard: the pairs that it leaves."""
    returning: dict[str, float]
    """Share of clips that have a near-duplicate at least `RETURN_SECONDS` later, by modality."""
    return_seconds: dict[str, float]
    """Median time until the first of these; NaN if no clip returns."""

    @property
    def far_rate(self) -> float:
        """The rate far away: of the farther half of the pairs."""
        half, num_pairs, similar = self.beyond_guard[0.0].num_pairs / 2, 0, 0.0
        for item in reversed(self.by_gap):
            if num_pairs >= half:
                break
            num_pairs += item.num_pairs
            similar += item.rate * item.num_pairs
        return similar / num_pairs

    def share_kept(self, guard: float) -> float:
        """Share of the within-movie pairs that a guard leaves."""
        return self.beyond_guard[guard].num_pairs / self.beyond_guard[0.0].num_pairs

    def false_negatives(self, k: int, guard: float) -> float:
        """Expected number of a clip's false negatives among the other k - 1 clips of its movie."""
        kept = self.beyond_guard[guard]
        return (k - 1) * self.share_kept(guard) * kept.rate if kept.num_pairs else 0.0


@dataclass
class _Counts:
    """Pairs of a range of gaps."""

    num_pairs: int = 0
    similar: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*MODALITIES, "both"), 0))

    def rate(self, low_s: float, high_s: float) -> GapRate:
        """As shares."""
        rates = {name: count / max(1, self.num_pairs) for name, count in self.similar.items()}
        return GapRate(low_s=low_s, high_s=high_s, num_pairs=self.num_pairs, rates=rates)


def recurrence(description: Description) -> Recurrence | None:
    """Count near-duplicates; None if no movie has two clips."""
    content = {name: description.content(name) for name in MODALITIES}
    movie_N = description.clips.movie
    by_gap = {pair: _Counts() for pair in itertools.pairwise(GAPS)}
    by_guard = {guard: _Counts() for guard in GUARDS}
    waits: dict[str, list[torch.Tensor]] = {name: [] for name in MODALITIES}
    for rows in _movies(movie_N, description.start_s):
        start_s = description.start_s[rows]
        gap_NN = (start_s[None, :] - start_s[:, None]).float()
        similar = {
            name: torch.cdist(content[name][rows], content[name][rows]).square() < NEAR
            for name in MODALITIES
        }
        similar["both"] = similar["video"] & similar["audio"]
        # Each pair once: the later clip of a pair is the one that starts later.
        later_NN = torch.ones_like(gap_NN, dtype=torch.bool).triu(1)
        for (low, high), counts in by_gap.items():
            _count(counts, later_NN & (gap_NN >= low) & (gap_NN < high), similar)
        for guard, counts in by_guard.items():
            _count(counts, later_NN & (gap_NN >= guard), similar)
        is_return_NN = later_NN & (gap_NN >= RETURN_SECONDS)
        for name in MODALITIES:
            wait = gap_NN.masked_fill(~(similar[name] & is_return_NN), math.inf)
            waits[name].append(wait.min(dim=1).values)
    if not by_guard[0.0].num_pairs:
        return None
    first = {name: torch.cat(parts) for name, parts in waits.items()}
    return Recurrence(
        other_movies={name: _other_movies(content[name], movie_N) for name in MODALITIES},
        by_gap=[counts.rate(*edges) for edges, counts in by_gap.items() if counts.num_pairs],
        beyond_guard={guard: counts.rate(guard, math.inf) for guard, counts in by_guard.items()},
        returning={name: float(wait.isfinite().float().mean()) for name, wait in first.items()},
        return_seconds={name: _median(wait[wait.isfinite()]) for name, wait in first.items()},
    )


def _count(counts: _Counts, pairs_NN: torch.Tensor, similar: dict[str, torch.Tensor]) -> None:
    counts.num_pairs += int(pairs_NN.sum())
    for name, similar_NN in similar.items():
        counts.similar[name] += int((pairs_NN & similar_NN).sum())


def _movies(movie_N: torch.Tensor, start_s: torch.Tensor) -> Iterator[torch.Tensor]:
    """Rows of each movie with at least two clips, in the order of time (shards are shuffled),
    thinned out evenly where there are too many."""
    for movie in sorted(set(movie_N.tolist())):
        rows = (movie_N == movie).nonzero().flatten()
        rows = rows[start_s[rows].argsort(stable=True)]
        if len(rows) >= 2:
            yield rows[:: -(-len(rows) // MAX_MOVIE_CLIPS)]


def _other_movies(content_NF: torch.Tensor, movie_N: torch.Tensor) -> float:
    random = np.random.default_rng(0)
    first, second = torch.from_numpy(random.integers(len(movie_N), size=(2, NUM_OTHER_PAIRS)))
    is_other_P = movie_N[first] != movie_N[second]
    if not is_other_P.any():
        return math.nan
    difference_PF = content_NF[first[is_other_P]] - content_NF[second[is_other_P]]
    return float((difference_PF.square().sum(dim=1) < NEAR).double().mean())


def _median(values: torch.Tensor) -> float:
    return float(values.median()) if len(values) else math.nan
