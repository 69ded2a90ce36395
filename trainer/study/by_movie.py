"""Figures of single movies, and intervals that cover other movies too.

A study's figures are means over clips of held-out movies. Clips of one movie are not independent of
each other, so movies are what is drawn again: a bootstrap over seeds and movies, crossed where
every seed is evaluated on the same movies, and nested where each holds out its own.

Shape suffixes: S seeds, J movies, R bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trainer.runs.evaluate.result import Judgement
from trainer.runs.scoring.retrieval import clip_recalls

#: (sum of scores, number of clips or sum of their weights) by movie id.
MovieScores = Mapping[str, Sequence[float]]

NUM_SAMPLES = 10_000

#: Quantiles of the bootstrap's samples that bound an interval.
LEVELS = (0.025, 0.975)


def scores_by_movie(judged: Judgement) -> dict[str, dict[str, list[float]]]:
    """By key of `FIGURES` and movie id: the sum of the clips' scores, and the number of clips."""
    found = {}
    for kind, probes in (("class", judged.class_probe), ("movie", judged.movie_probe)):
        for modality, probe in probes.items():
            scores = probe.is_right.double()
            found[f"{kind}_{modality}"] = _by_movie(judged, probe.row, scores)
    for modality, tags in judged.tag_probe.items():
        every = torch.arange(len(tags.scores))
        key = "seen_video" if modality == "video" else "heard_audio"
        found[key] = _by_movie(judged, every, tags.scores, tags.weights)
    embedded = judged.embedded
    recalls = clip_recalls(embedded.video, embedded.audio, embedded.movie)
    for (direction, gallery), scores in recalls.items():
        short = "v2a" if direction == "video_to_audio" else "a2v"
        rows = (~scores.isnan()).nonzero().flatten()
        name = f"{'within' if gallery == 'within_movie' else 'global'}_{short}"
        found[name] = _by_movie(judged, rows, scores[rows])
    return found


def bootstrap(pairs: Sequence[tuple[MovieScores, MovieScores]]) -> tuple[float, float] | None:
    """The 95 % interval of the mean difference, second minus first, over seeds and movies.

    Args:
        pairs: the scores of both settings, for each seed.

    None if fewer than two movies were evaluated in all of them, unless no two seeds share any.
    """
    movies = sorted(set.intersection(*(set(one) for pair in pairs for one in pair)))
    if not movies:
        return _nested_bootstrap(pairs)
    if len(movies) < 2:
        return None
    count_J = np.array([pairs[0][0][movie][1] for movie in movies])
    difference_SJ = np.array(
        [[second[movie][0] - first[movie][0] for movie in movies] for first, second in pairs]
    )
    random = np.random.default_rng(0)
    num_seeds, num_movies = difference_SJ.shape
    seeds_RS = random.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), NUM_SAMPLES)
    movies_RJ = random.multinomial(num_movies, np.full(num_movies, 1 / num_movies), NUM_SAMPLES)
    sum_R = ((seeds_RS @ difference_SJ) * movies_RJ).sum(axis=1)
    mean_R = sum_R / (num_seeds * (movies_RJ @ count_J))
    low, high = np.quantile(mean_R, LEVELS)
    return float(low), float(high)


def _nested_bootstrap(
    pairs: Sequence[tuple[MovieScores, MovieScores]],
) -> tuple[float, float] | None:
    """Of seeds with movies of their own: seeds are drawn, and movies within each."""
    random = np.random.default_rng(0)
    mean_SR = []
    for first, second in pairs:
        movies = sorted(set(first) & set(second))
        if len(movies) < 2:
            return None
        weight_J = np.array([first[movie][1] for movie in movies])
        difference_J = np.array([second[movie][0] - first[movie][0] for movie in movies])
        size = len(movies)
        movies_RJ = random.multinomial(size, np.full(size, 1 / size), NUM_SAMPLES)
        # A sample of movies without any label at all says nothing.
        mean_SR.append((movies_RJ @ difference_J) / np.maximum(movies_RJ @ weight_J, 1e-12))
    count = len(pairs)
    seeds_RS = random.multinomial(count, np.full(count, 1 / count), NUM_SAMPLES)
    mean_R = (seeds_RS * np.array(mean_SR).T).sum(axis=1) / count
    low, high = np.quantile(mean_R, LEVELS)
    return float(low), float(high)


def _by_movie(
    judged: Judgement,
    rows: torch.Tensor,
    scores: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> dict[str, list[float]]:
    """Of clips by their row among the embedded ones."""
    if weights is None:
        weights = torch.ones_like(scores)
    clips = judged.embedded.clip[rows].numpy()
    names = judged.dataset.clips["movie_id"].take(clips).to_pylist()
    totals: dict[str, list[float]] = {}
    for name, score, weight in zip(names, scores.tolist(), weights.tolist(), strict=True):
        total = totals.setdefault(name, [0.0, 0])
        total[0] += score
        total[1] += weight
    return totals
