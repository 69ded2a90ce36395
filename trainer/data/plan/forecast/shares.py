"""What share of each batch comes from each of several datasets, for people."""

from __future__ import annotations

from trainer.data.plan.clip_index import ClipIndex
from trainer.data.plan.policy import BatchPolicy


def share_lines(index: ClipIndex, policy: BatchPolicy) -> list[str]:
    """A line for each of several datasets; none for a single one.

    Raises `PolicyError` for weights that do not go with the datasets.
    """
    if len(index.datasets) == 1:
        return []
    noun = "movies" if policy.group_by == "movie_id" else "groups"
    return [
        f"data {number}: {float(share):.4g} of {policy.movies_per_batch} {noun} of a batch, "
        f"{eligible:,} eligible clips, {uri}"
        for number, (uri, share, eligible) in enumerate(
            zip(
                index.datasets,
                index.shares(policy.movies_per_batch),
                index.num_eligible_by_dataset.tolist(),
                strict=True,
            ),
            start=1,
        )
    ]
