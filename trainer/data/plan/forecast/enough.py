"""Whether a dataset can fill a single batch, and what to do if it cannot."""

from __future__ import annotations

import math

import numpy as np

from shards_spec.errors import PolicyError
from trainer.data.plan.clip_index import ClipIndex, Ints
from trainer.data.plan.policy import BatchPolicy


def check_enough(index: ClipIndex, policy: BatchPolicy, group: Ints, gap: int) -> None:
    """Raise `PolicyError` when too few groups have a unit: fewer than m, or than a dataset's share
    of them."""
    m, k, r = policy.movies_per_batch, policy.clips_per_movie, policy.num_reads
    if len(index.datasets) > 1:
        _check_shares(index, policy, group)
        return
    num_able = len(np.unique(group))
    if num_able >= m:
        return
    if policy.episodes_per_group:
        raise PolicyError(
            f"a batch needs {m} groups with {policy.episodes_per_group} movies each and {k} clips "
            f"of every movie, but only {num_able} of {len(np.unique(index.group))} groups with "
            "eligible clips can provide them; lower movies_per_batch, episodes_per_group or "
            "clips_per_movie, check the column group of the dataset, or preprocess more episodes"
        )
    sizes = np.bincount(index.group)
    noun = "movies" if policy.group_by == "movie_id" else "groups"
    reads = "" if r == 1 else f" ({r} reads of {k // r})"
    advice = [f"lower movies_per_batch to at most {num_able}"] if num_able else []
    advice += ["lower clips_per_movie"] if k > 1 else []
    advice += [f"loosen where = {policy.where!r}"] if policy.where else []
    advice += [f"lower min_gap_seconds = {policy.min_gap_seconds:g}"] if gap else []
    if k > r and not gap and num_able < int((sizes >= k).sum()):
        advice += [
            f"raise reads_per_movie = {r}, because shards are cut into chunks of {k // r} clips"
        ]
    advice += ["preprocess more or longer movies"]
    raise PolicyError(
        f"a batch needs {m} {noun} with {k} clips each{reads}, but only {num_able} of "
        f"{int((sizes > 0).sum())} {noun} with eligible clips can provide them (the largest has "
        f"{int(sizes.max())} eligible clips; {gap} clips overlap or are too close in time); "
        f"{', or '.join(advice)}"
    )


def _check_shares(index: ClipIndex, policy: BatchPolicy, group: Ints) -> None:
    shares = index.shares(policy.movies_per_batch)
    able = np.bincount(index.dataset_of_group[np.unique(group)], minlength=len(shares))
    for uri, share, num_able in zip(index.datasets, shares, able.tolist(), strict=True):
        if num_able < math.ceil(share):
            noun = "movies" if policy.group_by == "movie_id" else "groups"
            raise PolicyError(
                f"{uri}: its share of a batch is {float(share):.3g} of "
                f"{policy.movies_per_batch} {noun}, but only {num_able} of its {noun} can provide "
                f"{policy.clips_per_group} clips; lower its weight in data_weights, "
                "movies_per_batch or clips_per_movie, or preprocess more or longer movies"
            )
