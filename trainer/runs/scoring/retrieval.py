"""Retrieval: given one view of a clip, find the other among its own movie's clips and among all.

Exact with ties: if the right answer scores the same as t others, its rank among them is random, so
recall is the probability and the rank is the mean. Chance is computed for the same galleries and
reported with each result. Within-movie retrieval is averaged twice: over clips (long movies count
more) and over movies (all movies count equally).

Shape suffixes: Q queries, N gallery items, D embedding size; row i of both is the same clip.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from shards_spec.errors import InputError

#: Scores closer than this are ties; products of float64 copies of float32 vectors err far less.
TIE = 1e-12

#: Scores computed at a time; at 8 bytes each this bounds memory.
MAX_SCORES = 2**25

Direction = Literal["video_to_audio", "audio_to_video"]
Gallery = Literal["within_movie", "global"]


@dataclass(frozen=True)
class Ranks:
    """The rank of the right answer of each query in its gallery."""

    num_better: torch.Tensor
    """(Q,) int64, items that score higher than the right one."""
    num_tied: torch.Tensor
    """(Q,) int64, other items that score the same."""
    gallery_size: torch.Tensor
    """(Q,) int64, items in the gallery, including the right one."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Recall in [0, 1], rank from 1."""

    r1: float
    """Share of queries whose right answer ranks first."""
    r5: float
    """... among the first five."""
    r10: float
    """... among the first ten."""
    median_rank: float
    """Half of the queries find it at this rank or better."""

    def to_json(self) -> dict[str, float]:
        """JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """One direction in one gallery, with chance."""

    direction: Direction
    gallery: Gallery
    num_queries: int
    """Queries; within movies, only clips of movies with at least two clips."""
    num_movies: int
    mean_gallery_size: float
    """Mean over queries."""
    over_clips: Scores
    """Mean over queries."""
    over_movies: Scores
    """Mean over movies of each movie's mean (for the rank: median)."""
    chance_over_clips: Scores
    """The exact expectation of guessing."""
    chance_over_movies: Scores

    def to_json(self) -> dict[str, object]:
        """JSON values."""
        return dataclasses.asdict(self)


def retrieval(
    video_ND: torch.Tensor, audio_ND: torch.Tensor, movie_N: torch.Tensor
) -> list[Retrieval]:
    """Both directions, within movies and over all; empty galleries are left out.

    Args:
        video_ND: unit vectors.
        audio_ND: unit vectors; row i is the clip of row i of `video_ND`.
        movie_N: int64; equal numbers mean the same movie.

    Raises `InputError` for vectors that are NaN or infinite: comparisons with NaN are false, so
    their rank would be perfect.
    """
    for name, vectors_ND in (("video", video_ND), ("audio", audio_ND)):
        num_bad = int((~vectors_ND.isfinite().all(dim=1)).sum())
        if num_bad:
            raise InputError(f"retrieval: {num_bad} {name} embeddings are NaN or infinite")
    results = []
    for direction, gallery, ranks in _all_ranks(video_ND, audio_ND, movie_N):
        result = summarize(direction, gallery, ranks, movie_N)
        results += [result] if result.num_queries else []
    return results


def clip_recalls(
    video_ND: torch.Tensor, audio_ND: torch.Tensor, movie_N: torch.Tensor
) -> dict[tuple[Direction, Gallery], torch.Tensor]:
    """(N,) float64 by direction and gallery: the probability that a clip's right answer ranks
    first, whose mean is R@1; NaN for clips whose gallery has no other item."""
    return {
        (direction, gallery): _recalls(ranks, 1).masked_fill(ranks.gallery_size <= 1, math.nan)
        for direction, gallery, ranks in _all_ranks(video_ND, audio_ND, movie_N)
    }


def _all_ranks(
    video_ND: torch.Tensor, audio_ND: torch.Tensor, movie_N: torch.Tensor
) -> Iterator[tuple[Direction, Gallery, Ranks]]:
    views: list[tuple[Direction, torch.Tensor, torch.Tensor]] = [
        ("video_to_audio", video_ND, audio_ND),
        ("audio_to_video", audio_ND, video_ND),
    ]
    for direction, query_ND, gallery_ND in views:
        yield direction, "within_movie", within_movie_ranks(query_ND, gallery_ND, movie_N)
        yield direction, "global", global_ranks(query_ND, gallery_ND)


def global_ranks(query_ND: torch.Tensor, gallery_ND: torch.Tensor) -> Ranks:
    """Ranks of the right answers among all items."""
    query_ND, gallery_ND = query_ND.double(), gallery_ND.double()
    num_items = len(query_ND)
    better, tied = [], []
    chunk = max(1, MAX_SCORES // max(1, num_items))
    for start in range(0, num_items, chunk):
        scores_QN = query_ND[start : start + chunk] @ gallery_ND.T
        rows = torch.arange(len(scores_QN))
        right_Q1 = scores_QN[rows, rows + start][:, None]
        better_Q = (scores_QN > right_Q1 + TIE).sum(dim=1)
        better.append(better_Q)
        tied.append((scores_QN >= right_Q1 - TIE).sum(dim=1) - better_Q - 1)
    if not better:
        empty = torch.zeros(0, dtype=torch.int64)
        return Ranks(empty, empty, empty)
    size_Q = torch.full((num_items,), num_items)
    return Ranks(torch.cat(better), torch.cat(tied), size_Q)


def within_movie_ranks(
    query_ND: torch.Tensor, gallery_ND: torch.Tensor, movie_N: torch.Tensor
) -> Ranks:
    """Ranks of the right answers among the clips of the same movie."""
    better, tied, size = (torch.zeros(len(movie_N), dtype=torch.int64) for _ in range(3))
    for own in _by_movie(movie_N):
        ranks = global_ranks(query_ND[own], gallery_ND[own])
        better[own], tied[own] = ranks.num_better, ranks.num_tied
        size[own] = ranks.gallery_size
    return Ranks(better, tied, size)


def summarize(
    direction: Direction, gallery: Gallery, ranks: Ranks, movie_Q: torch.Tensor
) -> Retrieval:
    """Means over clips and over movies; queries whose gallery has no other item are left out."""
    keep = ranks.gallery_size > 1
    ranks = Ranks(ranks.num_better[keep], ranks.num_tied[keep], ranks.gallery_size[keep])
    movies = _by_movie(movie_Q[keep])
    size_Q = ranks.gallery_size
    # Guessing is the case where all items tie.
    guess = Ranks(torch.zeros_like(size_Q), size_Q - 1, size_Q)
    return Retrieval(
        direction=direction,
        gallery=gallery,
        num_queries=len(size_Q),
        num_movies=len(movies),
        mean_gallery_size=float(size_Q.double().mean()) if len(size_Q) else 0.0,
        over_clips=scores(ranks),
        over_movies=_mean_over_movies(ranks, movies),
        chance_over_clips=scores(guess),
        chance_over_movies=_mean_over_movies(guess, movies),
    )


def scores(ranks: Ranks) -> Scores:
    """Means over the queries; all NaN when there are none."""
    return Scores(
        r1=recall_at(ranks, 1),
        r5=recall_at(ranks, 5),
        r10=recall_at(ranks, 10),
        median_rank=median_rank(ranks),
    )


def recall_at(ranks: Ranks, num_first: int) -> float:
    """Mean probability that the right answer is among the first `num_first`."""
    return float(_recalls(ranks, num_first).mean())


def _recalls(ranks: Ranks, num_first: int) -> torch.Tensor:
    """(Q,) float64, the same for each query."""
    num_free = (num_first - ranks.num_better).double()
    return (num_free / (ranks.num_tied + 1)).clamp(0.0, 1.0)


def median_rank(ranks: Ranks) -> float:
    """Smallest rank that at least half of the queries reach, with ties broken at random."""
    if not len(ranks.gallery_size):
        return float("nan")
    low, high = 1, int(ranks.gallery_size.max())
    while low < high:
        middle = (low + high) // 2
        # The margin covers rounding: sums of thirds or tenths may fall just below one half.
        low, high = (low, middle) if recall_at(ranks, middle) >= 0.5 - 1e-9 else (middle + 1, high)
    return float(low)


def _by_movie(movie_N: torch.Tensor) -> list[torch.Tensor]:
    """Rows of each movie."""
    order_N = movie_N.argsort(stable=True)
    _, counts = torch.unique_consecutive(movie_N[order_N], return_counts=True)
    return list(torch.split(order_N, counts.tolist())) if len(movie_N) else []


def _mean_over_movies(ranks: Ranks, movies: list[torch.Tensor]) -> Scores:
    each = [
        scores(Ranks(ranks.num_better[own], ranks.num_tied[own], ranks.gallery_size[own]))
        for own in movies
    ]
    names = [field.name for field in dataclasses.fields(Scores)]
    means = {
        name: sum(getattr(item, name) for item in each) / len(each) if each else float("nan")
        for name in names
    }
    return Scores(**means)
