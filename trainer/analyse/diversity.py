"""Semantic diversity: how many kinds of content a movie has, against the corpus.

All clips are clustered by their contents (k-means). The *effective number* of clusters of some
clips is the exponential of the entropy of their shares: 8 clusters used equally count as 8, and one
that has nearly all clips as about 1. A movie is compared with as many clips drawn from the whole
corpus: the ratio is 1 where movies are as diverse as the corpus, so that a negative from the same
movie is as likely to show something else as any other.

Shape suffixes: N clips, F numbers of a descriptor, K clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.analyse.descriptors import MODALITIES, Description

#: Clusters of the corpus; fewer where there are few clips.
NUM_CLUSTERS = 32

#: Least number of clips per cluster.
CLIPS_PER_CLUSTER = 8

MAX_ROUNDS = 50


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Effective numbers of clusters."""

    num_clusters: int
    by_movie: list[float]
    """Of each movie, ascending."""
    movie: float
    """Median over movies."""
    corpus: float
    """Of as many clips from the whole corpus, median over the same numbers of clips."""

    @property
    def ratio(self) -> float:
        """How diverse a movie is, against the corpus."""
        return self.movie / self.corpus


def diversity(description: Description) -> Diversity | None:
    """The diversity by both modalities together; None with too few clips for two clusters."""
    content_NF = torch.cat([description.content(name) for name in MODALITIES], dim=1)
    num_clusters = min(NUM_CLUSTERS, len(content_NF) // CLIPS_PER_CLUSTER)
    if num_clusters < 2:
        return None
    cluster_N = k_means(content_NF, num_clusters).numpy()
    movie_N = description.clips.movie.numpy()
    random = np.random.default_rng(0)
    own, drawn = [], []
    for movie in np.unique(movie_N):
        rows = np.flatnonzero(movie_N == movie)
        own.append(effective_number(cluster_N[rows]))
        others = random.choice(len(cluster_N), len(rows), replace=False)
        drawn.append(effective_number(cluster_N[others]))
    return Diversity(
        num_clusters=num_clusters,
        by_movie=sorted(own),
        movie=float(np.median(own)),
        corpus=float(np.median(drawn)),
    )


def effective_number(cluster_N: NDArray[np.int64]) -> float:
    """Exponential of the entropy of the clusters' shares, from 1 to the number of clusters."""
    counts = np.bincount(cluster_N)
    shares = counts[counts > 0] / len(cluster_N)
    return math.exp(-float((shares * np.log(shares)).sum()))


def k_means(points_NF: torch.Tensor, num_clusters: int) -> torch.Tensor:
    """(N,) int64, the cluster of each point; the same on every call.

    Centers start far from each other: each is drawn with the squared distance to the nearest of
    those before it.
    """
    random = np.random.default_rng(0)
    points_NF = points_NF.double()
    centers = [points_NF[int(random.integers(len(points_NF)))]]
    nearest_N = (points_NF - centers[0]).square().sum(dim=1)
    for _ in range(num_clusters - 1):
        total = float(nearest_N.sum())
        # Fewer different points than clusters: the rest of the centers repeat one and stay empty.
        if total <= 0:
            break
        share = (nearest_N / total).numpy()
        centers.append(points_NF[int(random.choice(len(share), p=share / share.sum()))])
        nearest_N = nearest_N.minimum((points_NF - centers[-1]).square().sum(dim=1))
    centers_KF = torch.stack(centers)
    cluster_N = torch.full((len(points_NF),), -1)
    for _ in range(MAX_ROUNDS):
        new_N = torch.cdist(points_NF, centers_KF).argmin(dim=1)
        if torch.equal(new_N, cluster_N):
            break
        cluster_N = new_N
        sums = torch.zeros_like(centers_KF).index_add_(0, cluster_N, points_NF)
        counts_K1 = torch.bincount(cluster_N, minlength=len(centers_KF))[:, None]
        centers_KF = torch.where(counts_K1 > 0, sums / counts_K1.clamp(min=1), centers_KF)
    return cluster_N
